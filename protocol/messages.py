"""The messages of a session: each one websocket frame, one array `[kind, ...]` (PROTOCOL §6, DESIGN §6).

Caps stand on every list, and a frame is capped before it is decoded.  The order in which messages may come is the
business of `session`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from almenara.protocol.carry import CARRY_STEP, MAX_CARRIED, MAX_WEEK, CarriedScope
from almenara.protocol.codec import Shape, array, blob, decode, integer, octets, wrong_type
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.flow import (
    CREDIT,
    HAVE,
    LANES,
    PART,
    ROUTINE,
    WANT,
    Credit,
    Have,
    Part,
    Want,
    read_credit,
    read_have,
    read_part,
    read_want,
)
from almenara.protocol.idsets import ROOT_BYTES
from almenara.protocol.limits import (
    CLASS_DAYS,
    HASH_BYTES,
    ID_BYTES,
    MAX_CONTENT,
    MAX_FRAME,
    MAX_INTRODUCTION,
    NONCE_BYTES,
    SMALL,
    UINT16,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUBPROTOCOL: Final = "almenara.1"
MAX_VERSIONS: Final = 16  # protocol versions one node speaks
PROOF_BYTES: Final = 16
PROOFS_STEP: Final = 16  # INTEREST is padded to a multiple: the number of circles stays vague
MAX_PROOFS: Final = 1_024  # 146 circles of seven weeks
MAX_ACKED: Final = 1_024  # positions in one ACK
MAX_STATEMENTS_TOLD: Final = 256  # objects in one KEYS; more go into the next
MAX_INTRODUCTIONS_TOLD: Final = 16  # in one KEYS; they are some 9 KB each, so about nine fit the frame
MAX_PUSHED: Final = MAX_FRAME - 16  # bytes of an envelope in PUSH: what fits the frame; its own rules come later
MAX_ROUTINE_PUSH: Final = SMALL  # bytes of one in the routine lane: a larger one travels in parts
MAX_RETRY: Final = 86_400  # seconds a peer may ask us to stay away: a day
MAX_RANGE_FRAME: Final = 4_096  # bytes of one RANGE: a critical push waits behind one frame at most
MAX_RANGE_SETS: Final = 64  # sets in one RANGE; some 40 bytes each


class Kind(IntEnum):
    """The first slot of a frame."""

    HELLO = 1
    INTEREST = 2
    CURSORS = 3
    PUSH = 4
    ACK = 5
    KEYREQ = 6
    KEYS = 7
    BYE = 8
    ROOTS = 9
    RANGE = 10
    HAVE = 11
    WANT = 12
    CREDIT = 13
    PART = 14
    CARRY = 15
    CARRYING = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """Versions spoken (rising), a fresh nonce, the epoch of the sender's log, and its clock in minutes since 1970."""

    versions: tuple[int, ...]
    nonce: bytes
    log_epoch: bytes
    time_min: int

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return list(self.versions), self.nonce, self.log_epoch, self.time_min


@dataclass(frozen=True, kw_only=True, slots=True)
class Interest:
    """Proofs of scopes, in rising order and mixed with decoys.  Replaces what was sent before."""

    proofs: tuple[bytes, ...]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return (list(self.proofs),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursors:
    """What the sender has durably taken from the receiver's log: (epoch, position) by lane."""

    cursors: dict[int, tuple[bytes, int]]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return ([[lane, *place] for lane, place in sorted(self.cursors.items())],)


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """One envelope, and its position in the sender's log."""

    lane: int
    position: int
    envelope: bytes = field(repr=False)

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.lane, self.position, self.envelope


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """After the commit: how far the sender has come in a lane, and (position, outcome) of what was pushed."""

    lane: int
    cursor: int
    outcomes: tuple[tuple[int, int], ...]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.lane, self.cursor, [list(pair) for pair in self.outcomes]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyReq:
    """Asks for what a circle decided since one statement (empty: since ever), and for its current key."""

    circle: bytes
    statement: bytes

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.circle, self.statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Answers KEYREQ: statement and leave objects, introductions, and a key packet's envelope or nothing."""

    circle: bytes
    statements: tuple[bytes, ...]
    introductions: tuple[bytes, ...]
    packet: bytes = field(repr=False)

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.circle, list(self.statements), list(self.introductions), self.packet


@dataclass(frozen=True, kw_only=True, slots=True)
class Bye:
    """The sender hangs up: why, and after how many seconds it may be called again."""

    code: int
    retry_after: int

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.code, self.retry_after


@dataclass(frozen=True, kw_only=True, slots=True)
class Roots:
    """The wish for a repair: the sender's hour, and the keyed digest of all it holds in common scopes at that hour."""

    hour: int
    root: bytes

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.hour, self.root


@dataclass(frozen=True, slots=True)
class RangeSet:
    """What a frame of a repair says of one set, or of a part of it."""

    tag: bytes
    cls: int
    start: int
    """Hours from the first hour of the set to where `ranges` begin."""
    coming: int
    """How many envelopes the sender will push because of the step that this one answers."""
    lacking: bytes
    """A bit for each id that the receiver listed in its last step, the lowest bit first: whether it is lacking."""
    ranges: bytes
    """As `ranges` reads them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranges:
    """One frame of a step of a repair: RANGE."""

    hour: int
    last: bool
    sets: tuple[RangeSet, ...]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        sets = [[each.tag, each.cls, each.start, each.coming, each.lacking, each.ranges] for each in self.sets]
        return self.hour, int(self.last), sets


@dataclass(frozen=True, kw_only=True, slots=True)
class Carry:
    """Asks the other side to carry these scopes, decoys among them, in rising order.  Replaces what it asked before."""

    scopes: tuple[CarriedScope, ...] = field(repr=False)

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return ([list(scope) for scope in self.scopes],)


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrying:
    """Answers CARRY: how many bytes the sender keeps for the other side, and how many of them are in use."""

    granted: int
    used: int

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.granted, self.used


Message: TypeAlias = (
    Hello
    | Interest
    | Cursors
    | Push
    | Ack
    | KeyReq
    | Keys
    | Bye
    | Roots
    | Ranges
    | Have
    | Want
    | Credit
    | Part
    | Carry
    | Carrying
)

_LANE = integer(0, LANES - 1)
_CURSOR = Shape("cursor", ("lane", _LANE), ("epoch", octets(ID_BYTES)), ("position", integer()))
_OUTCOME = Shape("outcome", ("position", integer()), ("outcome", integer(0, 3)))
_CARRIED = Shape("carried scope", ("key", octets(HASH_BYTES)), ("week", integer(0, MAX_WEEK)))
_RANGE_SET = Shape(
    "set",
    ("tag", octets(ID_BYTES)),
    ("class", integer(0, len(CLASS_DAYS) - 1)),
    ("start", integer()),
    ("coming", integer()),
    ("lacking", blob(MAX_RANGE_FRAME)),
    ("ranges", blob(MAX_RANGE_FRAME)),
)
_SHAPES: Final = {
    Kind.HELLO: Shape(
        "HELLO",
        ("kind", integer(Kind.HELLO, Kind.HELLO)),
        ("versions", array(integer(1, UINT16), MAX_VERSIONS, 1, rising=True)),
        ("nonce", octets(NONCE_BYTES)),
        ("log_epoch", octets(ID_BYTES)),
        ("time_min", integer()),
    ),
    Kind.INTEREST: Shape(
        "INTEREST",
        ("kind", integer(Kind.INTEREST, Kind.INTEREST)),
        ("proofs", array(octets(PROOF_BYTES), MAX_PROOFS, PROOFS_STEP, rising=True)),
    ),
    Kind.CURSORS: Shape(
        "CURSORS", ("kind", integer(Kind.CURSORS, Kind.CURSORS)), ("cursors", array(_CURSOR, LANES, rising=True))
    ),
    Kind.PUSH: Shape(
        "PUSH",
        ("kind", integer(Kind.PUSH, Kind.PUSH)),
        ("lane", _LANE),
        ("position", integer()),
        ("envelope", blob(MAX_PUSHED)),
    ),
    Kind.ACK: Shape(
        "ACK",
        ("kind", integer(Kind.ACK, Kind.ACK)),
        ("lane", _LANE),
        ("cursor", integer()),
        ("outcomes", array(_OUTCOME, MAX_ACKED, rising=True)),
    ),
    Kind.KEYREQ: Shape(
        "KEYREQ",
        ("kind", integer(Kind.KEYREQ, Kind.KEYREQ)),
        ("circle", octets(ID_BYTES)),
        ("statement", octets(0, ID_BYTES)),
    ),
    Kind.KEYS: Shape(
        "KEYS",
        ("kind", integer(Kind.KEYS, Kind.KEYS)),
        ("circle", octets(ID_BYTES)),
        ("statements", array(blob(MAX_CONTENT, 1), MAX_STATEMENTS_TOLD)),
        ("introductions", array(blob(MAX_INTRODUCTION, 1), MAX_INTRODUCTIONS_TOLD)),
        ("packet", blob(MAX_PUSHED)),
    ),
    Kind.BYE: Shape(
        "BYE",
        ("kind", integer(Kind.BYE, Kind.BYE)),
        ("code", integer(0, UINT16)),
        ("retry_after", integer(0, MAX_RETRY)),
    ),
    Kind.ROOTS: Shape(
        "ROOTS",
        ("kind", integer(Kind.ROOTS, Kind.ROOTS)),
        ("hour", integer()),
        ("root", octets(ROOT_BYTES)),
    ),
    Kind.RANGE: Shape(
        "RANGE",
        ("kind", integer(Kind.RANGE, Kind.RANGE)),
        ("hour", integer()),
        ("last", integer(0, 1)),
        ("sets", array(_RANGE_SET, MAX_RANGE_SETS)),
    ),
    Kind.HAVE: HAVE,
    Kind.WANT: WANT,
    Kind.CREDIT: CREDIT,
    Kind.PART: PART,
    Kind.CARRY: Shape(
        "CARRY",
        ("kind", integer(Kind.CARRY, Kind.CARRY)),
        ("scopes", array(_CARRIED, MAX_CARRIED, rising=True)),
    ),
    Kind.CARRYING: Shape(
        "CARRYING",
        ("kind", integer(Kind.CARRYING, Kind.CARRYING)),
        ("granted", integer()),
        ("used", integer()),
    ),
}
_KINDS: Final[dict[type[Message], Kind]] = {
    Hello: Kind.HELLO,
    Interest: Kind.INTEREST,
    Cursors: Kind.CURSORS,
    Push: Kind.PUSH,
    Ack: Kind.ACK,
    KeyReq: Kind.KEYREQ,
    Keys: Kind.KEYS,
    Bye: Kind.BYE,
    Roots: Kind.ROOTS,
    Ranges: Kind.RANGE,
    Have: Kind.HAVE,
    Want: Kind.WANT,
    Credit: Kind.CREDIT,
    Part: Kind.PART,
    Carry: Kind.CARRY,
    Carrying: Kind.CARRYING,
}
_LONGEST: Final = dict.fromkeys(Kind, MAX_FRAME) | {Kind.RANGE: MAX_RANGE_FRAME}  # bytes of a frame


def kind_of(message: Message) -> Kind:
    """Return the kind that stands in a message's first slot."""
    return _KINDS[type(message)]


def encode_message(message: Message) -> bytes:
    """Return the frame.

    Raises:
        LocalError: a slot breaks its rule, or TOO_LONG for a frame.

    """
    kind = kind_of(message)
    frame = _SHAPES[kind].write(int(kind), *message.slots())
    try:
        _check_length(kind, frame)
        _check_together(message)
    except RemoteError as error:
        raise LocalError.like(error) from None
    return frame


def parse_message(frame: bytes) -> Message:
    """Read a frame.

    Raises:
        RemoteError: what the codec refuses; UNKNOWN_KIND; a slot breaks its rule.

    """
    slots = decode(frame, MAX_FRAME)
    if not slots:
        raise RemoteError(Defect.WRONG_COUNT, "frame", "a kind", "nothing")
    if type(slots[0]) is not int:
        raise wrong_type("kind", "integer", slots[0])
    try:
        kind = Kind(slots[0])
    except ValueError:
        raise RemoteError(Defect.UNKNOWN_KIND, "kind", "a kind of this version", str(slots[0])) from None
    _check_length(kind, frame)
    _SHAPES[kind].check(slots)
    message = _READERS[kind](slots[1:])
    _check_together(message)
    return message


def _read_hello(slots: list[Any]) -> Hello:
    versions, nonce, log_epoch, time_min = slots
    return Hello(versions=tuple(versions), nonce=nonce, log_epoch=log_epoch, time_min=time_min)


def _read_interest(slots: list[Any]) -> Interest:
    return Interest(proofs=tuple(slots[0]))


def _read_cursors(slots: list[Any]) -> Cursors:
    _refuse_repeats("lane", [lane for lane, _, _ in slots[0]])
    return Cursors(cursors={lane: (epoch, position) for lane, epoch, position in slots[0]})


def _read_push(slots: list[Any]) -> Push:
    lane, position, envelope = slots
    return Push(lane=lane, position=position, envelope=envelope)


def _read_ack(slots: list[Any]) -> Ack:
    lane, cursor, outcomes = slots
    return Ack(lane=lane, cursor=cursor, outcomes=tuple((position, outcome) for position, outcome in outcomes))


def _read_keyreq(slots: list[Any]) -> KeyReq:
    circle, statement = slots
    return KeyReq(circle=circle, statement=statement)


def _read_keys(slots: list[Any]) -> Keys:
    circle, statements, introductions, packet = slots
    return Keys(circle=circle, statements=tuple(statements), introductions=tuple(introductions), packet=packet)


def _read_bye(slots: list[Any]) -> Bye:
    code, retry_after = slots
    return Bye(code=code, retry_after=retry_after)


def _read_roots(slots: list[Any]) -> Roots:
    hour, found = slots
    return Roots(hour=hour, root=found)


def _read_ranges(slots: list[Any]) -> Ranges:
    hour, last, sets = slots
    return Ranges(hour=hour, last=bool(last), sets=tuple(RangeSet(*each) for each in sets))


def _read_carry(slots: list[Any]) -> Carry:
    return Carry(scopes=tuple(CarriedScope(key, week) for key, week in slots[0]))


def _read_carrying(slots: list[Any]) -> Carrying:
    granted, used = slots
    return Carrying(granted=granted, used=used)


_READERS: Final[dict[Kind, Callable[[list[Any]], Message]]] = {
    Kind.HELLO: _read_hello,
    Kind.INTEREST: _read_interest,
    Kind.CURSORS: _read_cursors,
    Kind.PUSH: _read_push,
    Kind.ACK: _read_ack,
    Kind.KEYREQ: _read_keyreq,
    Kind.KEYS: _read_keys,
    Kind.BYE: _read_bye,
    Kind.ROOTS: _read_roots,
    Kind.RANGE: _read_ranges,
    Kind.HAVE: read_have,
    Kind.WANT: read_want,
    Kind.CREDIT: read_credit,
    Kind.PART: read_part,
    Kind.CARRY: _read_carry,
    Kind.CARRYING: _read_carrying,
}


def _check_length(kind: Kind, frame: bytes) -> None:
    if len(frame) > _LONGEST[kind]:
        raise RemoteError(Defect.TOO_LONG, kind.name, f"at most {_LONGEST[kind]} bytes", f"{len(frame)} bytes")


def _check_together(message: Message) -> None:
    """Check what the shape of one slot cannot say."""
    if isinstance(message, Interest) and len(message.proofs) % PROOFS_STEP:
        raise RemoteError(
            Defect.WRONG_COUNT, "proofs", f"a multiple of {PROOFS_STEP} proofs", f"{len(message.proofs)} proofs"
        )
    if isinstance(message, Push) and message.lane == ROUTINE and len(message.envelope) > MAX_ROUTINE_PUSH:
        raise RemoteError(
            Defect.TOO_LARGE,
            "envelope",
            f"at most {MAX_ROUTINE_PUSH} bytes, or parts",
            f"{len(message.envelope)} bytes",
        )
    if isinstance(message, Ack):
        _refuse_repeats("position", [position for position, _ in message.outcomes])
    if isinstance(message, Carry):
        if len(message.scopes) % CARRY_STEP:
            expected = f"a multiple of {CARRY_STEP} scopes"
            raise RemoteError(Defect.WRONG_COUNT, "scopes", expected, f"{len(message.scopes)} scopes")
        _refuse_repeats("key", [scope.key for scope in message.scopes])
    if isinstance(message, Ranges):
        _check_sets(message.sets)


def _check_sets(sets: tuple[RangeSet, ...]) -> None:
    if any((a.tag, a.cls) >= (b.tag, b.cls) for a, b in pairwise(sets)):
        raise RemoteError(Defect.NOT_SORTED, "sets", "rising by tag and class, each once")
    if any(not (each.coming or each.lacking or each.ranges) for each in sets):
        raise RemoteError(Defect.WRONG_COUNT, "set", "something said of it")


def _refuse_repeats(name: str, values: Sequence[int] | Sequence[bytes]) -> None:
    if len(set(values)) != len(values):
        raise RemoteError(Defect.REPEATED, name, "each once")
