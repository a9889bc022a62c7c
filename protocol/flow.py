"""How envelopes flow in one direction of a session: credits, announcements and parts (DESIGN §6).

The same `Stream` binds what we say and what we hear: it raises RemoteError, and the session tells the same defect as
our own fault where we were about to break the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from almenara.protocol.codec import Shape, array, integer, octets
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import HASH_BYTES, LARGE, MEDIUM, SMALL

if TYPE_CHECKING:
    from collections.abc import Iterable

LANES: Final = 2
ROUTINE: Final = 1
INITIAL_CREDIT: Final = (512 * 1024, 2 * 1024 * 1024)
"""Bytes by lane that may be under way without a commit, and never more: 512 alerts of routine fill the time that half
of them take to be committed; a critical one is rarely one of many."""
PART_BYTES: Final = SMALL  # of data in one PART, so that nothing critical waits behind more than that
PARTS: Final = (MEDIUM // PART_BYTES, LARGE // PART_BYTES)  # 4 or 16 make an envelope
MAX_TOLD: Final = 96  # positions in one HAVE, which then has about 4 KiB, and in one WANT
MAX_ANNOUNCED: Final = 1_024  # announced positions without an answer, each way: they are remembered at both ends


@dataclass(frozen=True, kw_only=True, slots=True)
class Have:
    """Announces positions of the sender's log: (lane, position, envelope id), rising."""

    places: tuple[tuple[int, int, bytes], ...]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return ([list(place) for place in self.places],)


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """Asks for announced (lane, position), rising."""

    places: tuple[tuple[int, int], ...]

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return ([list(place) for place in self.places],)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credit:
    """So many more bytes may be pushed in a lane."""

    lane: int
    amount: int

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.lane, self.amount


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A piece of a routine envelope too large for one frame; `left` more follow."""

    lane: int
    position: int
    left: int
    data: bytes = field(repr=False)

    def slots(self) -> tuple[Any, ...]:
        """Return what follows the kind in the frame."""
        return self.lane, self.position, self.left, self.data


_LANE = integer(0, LANES - 1)
_ANNOUNCED = Shape("place", ("lane", _LANE), ("position", integer()), ("envelope_id", octets(HASH_BYTES)))
_ASKED = Shape("place", ("lane", _LANE), ("position", integer()))
HAVE: Final = Shape("HAVE", ("kind", integer(11, 11)), ("places", array(_ANNOUNCED, MAX_TOLD, 1, rising=True)))
WANT: Final = Shape("WANT", ("kind", integer(12, 12)), ("places", array(_ASKED, MAX_TOLD, 1, rising=True)))
CREDIT: Final = Shape("CREDIT", ("kind", integer(13, 13)), ("lane", _LANE), ("bytes", integer(1, max(INITIAL_CREDIT))))
PART: Final = Shape(
    "PART",
    ("kind", integer(14, 14)),
    ("lane", integer(ROUTINE, ROUTINE)),  # a critical envelope is pushed whole
    ("position", integer()),
    ("left", integer(0, max(PARTS) - 1)),
    ("data", octets(PART_BYTES)),
)


def read_have(slots: list[Any]) -> Have:
    """Read the slots after the kind."""
    return Have(places=tuple((lane, position, found) for lane, position, found in slots[0]))


def read_want(slots: list[Any]) -> Want:
    """Read the slots after the kind."""
    return Want(places=tuple((lane, position) for lane, position in slots[0]))


def read_credit(slots: list[Any]) -> Credit:
    """Read the slots after the kind."""
    lane, amount = slots
    return Credit(lane=lane, amount=amount)


def read_part(slots: list[Any]) -> Part:
    """Read the slots after the kind."""
    lane, position, left, data = slots
    return Part(lane=lane, position=position, left=left, data=data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """The peer has these: (lane, position of its log, envelope id). Each waits for `ack` or `want`."""

    places: tuple[tuple[int, int, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The peer asks us to push what we announced: (lane, position of our log)."""

    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """The peer committed, so that we may push so many more bytes in a lane."""

    lane: int
    amount: int


def cost(envelope: bytes) -> int:
    """Credit that an envelope takes, in bytes; an empty one takes room too."""
    return max(len(envelope), SMALL)


def parts_of(envelope: bytes) -> list[bytes]:
    """Cut a routine envelope into what each PART carries."""
    return [envelope[at : at + PART_BYTES] for at in range(0, len(envelope), PART_BYTES)]


class Stream:
    """The envelopes of one direction: who pushes keeps to it, and who receives holds them to it."""

    def __init__(self) -> None:
        self.credit = list(INITIAL_CREDIT)
        self._announced: dict[tuple[int, int], bool] = {}  # without an answer -> whether it was asked for
        self._parts: list[bytes] = []
        self._position, self._left = 0, 0

    @property
    def room(self) -> int:
        """How many more positions may be announced before answers come."""
        return MAX_ANNOUNCED - len(self._announced)

    def push(self, lane: int, envelope: bytes) -> None:
        """Account for a PUSH. Raises RemoteError: WRONG_ORDER between parts, OVER_CREDIT."""
        if lane == ROUTINE and self._parts:
            raise RemoteError(Defect.WRONG_ORDER, "PUSH", "the next PART of the envelope begun")
        self._spend(lane, cost(envelope))

    def part(self, part: Part) -> bytes | None:
        """Account for a PART; returns the envelope with its last one.

        Raises:
            RemoteError: OUT_OF_RANGE, a count that no size has; WRONG_ORDER, not the next part; OVER_CREDIT.

        """
        if not self._parts and part.left + 1 not in PARTS:
            raise RemoteError(Defect.OUT_OF_RANGE, "left", f"{' or '.join(str(count - 1) for count in PARTS)} at first")
        if self._parts and (part.position, part.left) != (self._position, self._left - 1):
            raise RemoteError(Defect.WRONG_ORDER, "PART", "the next part of the envelope begun")
        self._spend(part.lane, len(part.data))
        self._parts.append(part.data)
        self._position, self._left = part.position, part.left
        if part.left:
            return None
        whole = b"".join(self._parts)
        self._parts = []
        return whole

    def _spend(self, lane: int, amount: int) -> None:
        if amount > self.credit[lane]:
            raise RemoteError(Defect.OVER_CREDIT, "envelope", f"at most {self.credit[lane]} bytes", f"{amount} bytes")
        self.credit[lane] -= amount

    def grant(self, lane: int, amount: int) -> None:
        """Account for a CREDIT. Raises RemoteError: OUT_OF_RANGE, more than what was spent."""
        if self.credit[lane] + amount > INITIAL_CREDIT[lane]:
            raise RemoteError(Defect.OUT_OF_RANGE, "bytes", f"at most {INITIAL_CREDIT[lane]} open", f"{amount} more")
        self.credit[lane] += amount

    def announce(self, places: Iterable[tuple[int, int]]) -> None:
        """Account for a HAVE. Raises RemoteError: REPEATED, announced and unanswered; TOO_LARGE, too many of these."""
        new = list(places)
        if len(set(new)) != len(new) or any(place in self._announced for place in new):
            raise RemoteError(Defect.REPEATED, "position", "each announced once until it is answered")
        if len(new) > self.room:
            raise RemoteError(Defect.TOO_LARGE, "places", f"at most {MAX_ANNOUNCED} without an answer")
        self._announced.update(dict.fromkeys(new, False))

    def ask(self, places: Iterable[tuple[int, int]]) -> None:
        """Account for a WANT. Raises RemoteError: OUT_OF_RANGE, not announced, answered, or asked for before."""
        asked = list(places)
        if any(self._announced.get(place, True) for place in asked) or len(set(asked)) != len(asked):
            raise RemoteError(Defect.OUT_OF_RANGE, "position", "an announced position, once")
        self._announced.update(dict.fromkeys(asked, True))

    def answer(self, lane: int, positions: Iterable[int]) -> None:
        """Account for the outcomes of an ACK."""
        for position in positions:
            self._announced.pop((lane, position), None)
