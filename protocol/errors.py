"""Errors of the protocol, sorted by whose fault they are, with one `Defect` for each rule that makes a reader refuse.

An error says the field, what was expected and what kind of thing came; it never repeats content, so it may be logged
and shown.  `ProtocolError` itself is never raised: catch it to catch both sides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Defect(StrEnum):
    """The rule that was broken (SPEC.md states each beside its field; the vectors assert these names)."""

    # codec
    TOO_LONG = "too-long"  # more bytes than this kind of message may have
    MALFORMED = "malformed"  # not msgpack, cut short, bytes left over, or not UTF-8
    NOT_CANONICAL = "not-canonical"  # decodes, but is not the one encoding of its value
    TOO_DEEP = "too-deep"  # arrays nested deeper than four below the outermost
    WRONG_TYPE = "wrong-type"
    WRONG_COUNT = "wrong-count"  # an array with too few or too many items
    WRONG_LENGTH = "wrong-length"  # bytes or text shorter or longer than the slot allows
    OUT_OF_RANGE = "out-of-range"
    NOT_NFC = "not-nfc"
    CONTROL_CHARACTER = "control-character"
    BAD_FORM = "bad-form"  # text that is no code, country, endpoint or link
    NOT_SORTED = "not-sorted"  # a list that must rise strictly: unsorted or with a repeat
    UNKNOWN_VERSION = "unknown-version"
    UNKNOWN_TYPE = "unknown-type"
    UNKNOWN_ALGORITHM = "unknown-algorithm"

    # envelope
    BAD_SIZE = "bad-size"  # not one of the three sizes, or not one this type may have
    BAD_MAGIC = "bad-magic"
    UNKNOWN_SUITE = "unknown-suite"
    WRONG_SUITE = "wrong-suite"  # a known suite, but not the one for this content
    RESERVED_NOT_ZERO = "reserved-not-zero"
    UNKNOWN_KEY = "unknown-key"  # no key with this key id is held
    BAD_TAG = "bad-tag"  # authenticated decryption failed
    BAD_PADDING = "bad-padding"
    TOO_LARGE = "too-large"  # content that does not fit the envelope it must travel in
    PAST_LIFE = "past-life"  # older than its class may travel

    # object, and what it must share with its envelope and circle
    BAD_COMMIT = "bad-commit"
    BAD_SIGNATURE = "bad-signature"
    WRONG_CIRCLE = "wrong-circle"
    WRONG_STATEMENT = "wrong-statement"
    WRONG_CLASS = "wrong-class"
    WRONG_LANE = "wrong-lane"
    WRONG_HOUR = "wrong-hour"
    UNKNOWN_AUTHOR = "unknown-author"
    NOT_ALLOWED = "not-allowed"  # the author's role may not send this type
    AFTER_CUT = "after-cut"
    AFTER_SUCCESSOR = "after-successor"
    EXPIRED = "expired"
    TOO_EARLY = "too-early"

    # alert body
    TOO_FINE = "too-fine"  # a slot holds more than the alert's tier may see

    # cards, profiles, prekeys
    BAD_KEY = "bad-key"
    BAD_CERTIFICATE = "bad-certificate"
    WRONG_NODE = "wrong-node"  # speaks of another node than it should
    REVOKED = "revoked"  # a node whose root keys said so, for ever
    OLD_KEY = "old-key"  # signed by an operational key that no longer counts

    # pairing
    BAD_MAC = "bad-mac"
    WRONG_INVITATION = "wrong-invitation"
    WRONG_ORDER = "wrong-order"  # a message, or a call, that this state does not take
    REFLECTED = "reflected"  # our own card came back to us
    TOO_MANY_ATTEMPTS = "too-many-attempts"
    BAD_CONFIRM = "bad-confirm"

    # circles, keys, scopes, session
    UNKNOWN_PARENT = "unknown-parent"
    WRONG_NUMBER = "wrong-number"
    NO_STEWARD = "no-steward"
    REPEATED = "repeated"  # an entry named twice where each may stand once
    RANK_TOO_LOW = "rank-too-low"
    KEY_NOT_FRESH = "key-not-fresh"  # a commitment that the parent already made
    REMOVED = "removed"  # someone who is out is treated as if in
    WRONG_RECIPIENT = "wrong-recipient"
    OVER_CREDIT = "over-credit"  # more bytes than the receiver granted
    UNKNOWN_KIND = "unknown-kind"  # a session frame, or a bundle's record, of a kind this version does not know

    # bundles
    TRUNCATED = "truncated"  # a file that ends before its own end


class ProtocolError(Exception):
    """A rule of SPEC.md was broken; `kind` names it, `field` the slot.  Never carries content."""

    def __init__(self, kind: Defect, field: str = "", expected: str = "", got: str = "") -> None:
        self.kind = kind
        self.field = field
        self.expected = expected
        self.got = got
        super().__init__(kind, field, expected, got)

    def __str__(self) -> str:
        where = f" in {self.field}" if self.field else ""
        wanted = f": expected {self.expected}" if self.expected else ""
        came = f", got {self.got}" if self.got else ""
        return f"{self.kind}{where}{wanted}{came}"


class RemoteError(ProtocolError):
    """The other side sent something that a rule refuses.  Put it aside with its reason and go on with the next."""


class NewerVersion(RemoteError):  # noqa: N818 - it is a verdict about the message, not a failure
    """Of a version, type, suite or algorithm this node does not know yet: keep it and show it as *newer version*."""


class LocalError(ProtocolError):
    """Our own side asked for something that a rule forbids: nothing was sent."""

    @classmethod
    def like(cls, error: ProtocolError) -> Self:
        """Return the same defect, told as our own fault: what we were about to send broke the rule."""
        return cls(error.kind, error.field, error.expected, error.got)
