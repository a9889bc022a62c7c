# ruff: noqa: N818 -- the names say what happened, as `Unreachable` reads in an except clause
"""What can go wrong on the way to another node; no error here ever carries an address or a key."""

from __future__ import annotations

from enum import StrEnum


class TransportError(Exception):
    """The base of everything `node/transport` raises."""


class EndpointMalformed(TransportError):
    """An endpoint is not `host:port` or `[address]:port`."""


class AddressUnavailable(TransportError):
    """The listening address cannot be used: taken by another program, or not ours."""


class NotPinned(TransportError):
    """The node has no pinned certificate: it was never paired, or it was removed."""


class CertificateTaken(TransportError):
    """The certificate belongs to another node already; two names for one key would make connections ambiguous."""


class DialFault(StrEnum):
    """Why a dial failed, as far as this side can tell."""

    NO_SUCH_NAME = "no-such-name"
    NO_ANSWER = "no-answer"
    WRONG_CERTIFICATE = "wrong-certificate"
    TURNED_AWAY = "turned-away"
    TIMED_OUT = "timed-out"
    NEEDS_TOR = "needs-tor"  # an onion address, and no proxy
    PROXY_SILENT = "proxy-silent"
    PROXY_REFUSED = "proxy-refused"


class Unreachable(TransportError):
    """A dial failed; `fault` says how far it got."""

    def __init__(self, fault: DialFault) -> None:
        super().__init__(f"the other node cannot be reached: {fault}")
        self.fault = fault


class CloseReason(StrEnum):
    """Why a link ended; `closed` is what sending gets after an orderly close."""

    LOST = "lost"
    CUT = "cut"
    STALLED = "stalled"
    TOO_LONG = "too-long"
    NOT_BINARY = "not-binary"
    REFUSED = "refused"
    CLOSED = "closed"


class LinkClosed(TransportError):
    """The link is over; `reason` says whether it broke, was cut by us, or ended by a rule."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(f"the link is closed: {reason}")
        self.reason = reason
