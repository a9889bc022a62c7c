"""What a person or a program is told when something is refused (RFC 9457; SCHEMAS §8).

A `Problem` says which rule refused, which field, what was expected and what came. `got` of a local-only field is its
type and length, never its text. Titles are `node.words` constants, so the panel can show them in its reader's language.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from almenara.node.words import N_


class Kind(StrEnum):
    """The closed list of problem types; `urn:almenara:problem:<kind>` on the wire."""

    MALFORMED = "malformed"
    UNKNOWN_FIELD = "unknown-field"
    UNKNOWN_CODE = "unknown-code"
    WRONG_TYPE = "wrong-type"
    TOO_LONG = "too-long"
    PLACE_UNKNOWN = "place-unknown"
    CONSENT_MISSING = "consent-missing"
    AUDIENCE_EMPTY = "audience-empty"
    SECRET_WOULD_LEAVE = "secret-would-leave"  # noqa: S105 - the name of a problem
    TLP_ABOVE_CIRCLE = "tlp-above-circle"
    TOO_LARGE = "too-large"
    ALREADY_SENT = "already-sent"
    NOT_READY = "not-ready"
    NOT_FOUND = "not-found"
    NOT_A_STEWARD = "not-a-steward"
    PEER_NOT_VERIFIED = "peer-not-verified"
    INVITATION_INVALID = "invitation-invalid"
    UNREACHABLE = "unreachable"
    LOCKED = "locked"
    WRONG_PASSPHRASE = "wrong-passphrase"  # noqa: S105 - the name of a problem
    HOME_IN_USE = "home-in-use"
    NOT_ALLOWED = "not-allowed"
    AUDIENCE_CHANGED = "audience-changed"
    INTERNAL = "internal"


_ABOUT: dict[Kind, tuple[int, str]] = {
    Kind.MALFORMED: (400, N_("This could not be read")),
    Kind.UNKNOWN_FIELD: (422, N_("There is no such field")),
    Kind.UNKNOWN_CODE: (422, N_("This code is not in the vocabulary")),
    Kind.WRONG_TYPE: (422, N_("This value has the wrong form")),
    Kind.TOO_LONG: (422, N_("This is too long")),
    Kind.PLACE_UNKNOWN: (422, N_("There is no such place")),
    Kind.CONSENT_MISSING: (409, N_("This case may not leave")),
    Kind.AUDIENCE_EMPTY: (409, N_("Nobody would receive this")),
    Kind.SECRET_WOULD_LEAVE: (409, N_("Something confidential would leave")),
    Kind.TLP_ABOVE_CIRCLE: (409, N_("This circle may not hold this TLP label")),
    Kind.TOO_LARGE: (413, N_("This does not fit")),
    Kind.ALREADY_SENT: (409, N_("This case was already sent to this circle")),
    Kind.NOT_READY: (409, N_("This is not ready")),
    Kind.NOT_FOUND: (404, N_("There is no such thing here")),
    Kind.NOT_A_STEWARD: (403, N_("Only a steward of the circle may do this")),
    Kind.PEER_NOT_VERIFIED: (409, N_("This organisation is not verified")),
    Kind.INVITATION_INVALID: (409, N_("This invitation cannot be used")),
    Kind.UNREACHABLE: (503, N_("The other side cannot be reached")),
    Kind.LOCKED: (423, N_("The node is locked")),
    Kind.WRONG_PASSPHRASE: (403, N_("The passphrase is wrong")),
    Kind.HOME_IN_USE: (409, N_("Another node is running on this home")),
    Kind.NOT_ALLOWED: (403, N_("This is not allowed")),
    Kind.AUDIENCE_CHANGED: (409, N_("The circle changed since the preview")),
    Kind.INTERNAL: (500, N_("This is our fault")),
}


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A refusal with its reason. Raised by the node, shown by panel, API and CLI alike.

    `detail` and `next` are constants of `node.words`; whatever varies stands in `field`, `expected`, `got` and `extra`
    (identifiers such as `case_id`), so that nothing confidential is ever formatted into a sentence.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        field: str = "",
        expected: str = "",
        got: str = "",
        next: str = "",  # noqa: A002 - the name of the member in SCHEMAS §8
        **extra: str,
    ) -> None:
        super().__init__(kind.value)
        self.kind, self.detail, self.field = kind, detail, field
        self.expected, self.got, self.next, self.extra = expected, got, next, extra

    @property
    def status(self) -> int:
        """The HTTP status that fits."""
        return _ABOUT[self.kind][0]

    @property
    def title(self) -> str:
        """The rule in words, untranslated."""
        return _ABOUT[self.kind][1]

    def as_json(self) -> dict[str, Any]:
        """RFC 9457 members, empty ones left out."""
        members: dict[str, Any] = {
            "type": f"urn:almenara:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "field": self.field,
            "expected": self.expected,
            "got": self.got,
            "next": self.next,
            **self.extra,
        }
        return {name: value for name, value in members.items() if value != ""}

    def line(self) -> str:
        """One line for a terminal."""
        parts = [self.title]
        if self.field:
            parts.append(f"field {self.field}")
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.got:
            parts.append(f"got {self.got}")
        text = ": ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0]
        return ". ".join(part for part in (text, self.detail, self.next) if part)
