"""One run of repair between two sides: what each lacks of what the other holds (PROTOCOL §6).

Steps alternate.  A step describes ranges by fingerprint or by list; the other side drops what is equal, splits what is
not, and answers a list by saying which of its ids it lacks and how many envelopes it will push.  A step that asks
nothing is the last, except for the first.  Full ids never travel: what the other side lacks is pushed.

Both sides work on frozen sets, and on one frame at a time, so a peer can make neither wait nor fill its memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.idsets import END, Bound, Frozen, Key, SetKey, Span, first_hour, root, short_id
from almenara.protocol.messages import Ranges, Roots
from almenara.protocol.ranges import MAX_LISTED, Mode, Range, read_ranges
from almenara.protocol.steps import Answer, pack_step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from almenara.protocol.messages import RangeSet

    Sets = Mapping[SetKey, Frozen]

MAX_STEPS: Final = 12  # of a run, both sides together: ten million ids take nine
MAX_STEP_FRAMES: Final = 512  # 2 MiB: more than 10,000 scattered differences among a million ids take
MAX_STEP_BYTES: Final = MAX_STEP_FRAMES * 3_072  # of ranges that we put into a step; frames are three quarters full
TOP_PARTS: Final = 8  # ranges in the first step, dealt over all sets: that they differ is known, not where
PARTS: Final = 8  # of a range that differs: fewer take more steps, more take more bytes (tests/bench/repair.py)
LEAF: Final = 8  # ids that are listed rather than split; sixteen take half as many bytes again
MAX_ASKED: Final = 16  # ROOTS without an answer that are remembered; equal roots get none
LAST_SPLIT: Final = MAX_STEPS - 3  # the last step that may split, since a list and its answer follow


@dataclass(frozen=True, slots=True)
class Difference:
    """What a run found: (hour, id) of what the other side lacks, and how many envelopes it said it will push."""

    lacking: tuple[Key, ...]
    coming: int
    cut: bool
    """Whether something was left to another run, because a step would have been too long."""


@dataclass(slots=True)
class _Heard:
    """The step that is coming in: how many frames, where it got to, whether it asks for an answer."""

    frames: int = 0
    key: SetKey = (b"", 0)
    at: Bound = (0, b"")
    asks: bool = False
    keys: set[SetKey] = field(default_factory=set)


class Run:
    """One side of a run over all sets that both sides proved, empty ones included, frozen for `hour`."""

    def __init__(self, sets: Sets, hour: int, key: bytes) -> None:
        self._sets, self.hour, self._key = sets, hour, key
        self._step = 0
        self._heard = _Heard()
        self._answers: dict[SetKey, Answer] = {}
        self._room = MAX_STEP_BYTES
        self._listed: dict[SetKey, list[Key]] = {}  # in our last step, whose answer is due
        self._bits: dict[SetKey, int] = {}  # how far that answer has come
        self._lacking: dict[bytes, int] = {}
        self._coming, self._cut = 0, False
        self.over = False

    @property
    def difference(self) -> Difference:
        """What is known so far; all of it once the run is `over`."""
        return Difference(tuple((hour, found) for found, hour in self._lacking.items()), self._coming, self._cut)

    def first(self) -> list[Ranges]:
        """Say the first step: a few ranges of each set that is not empty."""
        filled = sorted(key for key, found in self._sets.items() if len(found))
        parts = TOP_PARTS // max(len(filled), 1)
        for key in filled:
            self._describe(key, self._whole(key), parts)
        return self._say()

    def take(self, message: Ranges) -> list[Ranges]:
        """Take one frame; after the last of a step return ours, unless the run is over.

        Raises:
            RemoteError: a rule of the SPEC is broken.

        """
        heard = self._heard
        heard.frames += 1
        if message.hour != self.hour:
            raise RemoteError(Defect.WRONG_HOUR, "hour", "the hour of the run")
        if heard.frames > MAX_STEP_FRAMES:
            raise RemoteError(Defect.TOO_LARGE, "step", f"at most {MAX_STEP_FRAMES} frames")
        for told in message.sets:
            self._take_set(told)
        return self._turn() if message.last else []

    def _turn(self) -> list[Ranges]:
        heard, self._heard = self._heard, _Heard()
        self._step += 1
        if not heard.asks and self._step > 1:  # the first is always answered: sets it does not name may be filled here
            self.over = True
            return []
        if self._step >= MAX_STEPS:
            raise RemoteError(Defect.TOO_LARGE, "run", f"an end after {MAX_STEPS} steps")
        if self._step == 1:
            self._offer_unheard(heard.keys)
        return self._say()

    def _offer_unheard(self, heard: set[SetKey]) -> None:
        """A set that the first step does not name is empty there."""
        for key, found in self._sets.items():
            if key not in heard and len(found):
                self._give(key, found.keys())

    def _say(self) -> list[Ranges]:
        answers, self._answers = dict(sorted(self._answers.items())), {}
        self._step += 1
        self._room = MAX_STEP_BYTES
        self._listed = {key: answer.listed for key, answer in answers.items()}
        self._bits = {}
        self.over = self._step > 1 and not any(answer.ranges for answer in answers.values())
        return pack_step(self.hour, answers)

    # what a frame says of one set

    def _take_set(self, told: RangeSet) -> None:
        heard, key = self._heard, (told.tag, told.cls)
        first = first_hour(told.cls, self.hour)
        if key < heard.key:
            raise RemoteError(Defect.NOT_SORTED, "sets", "rising by tag and class")
        if key != heard.key:
            heard.key, heard.at = key, (first, b"")
        heard.keys.add(key)
        heard.asks |= bool(told.ranges)
        known = key in self._sets  # a scope that only one side counts as proven is left alone
        if known:
            self._coming += told.coming
            self._take_answer(key, told.lacking)
        for said in read_ranges(first + told.start, told.ranges):
            low, high = said.span
            if low < heard.at:
                raise RemoteError(Defect.NOT_SORTED, "ranges", "above the ones before")
            heard.at = high
            if known:
                self._take_range(key, said)

    def _take_answer(self, key: SetKey, bits: bytes) -> None:
        """One bit for each id that we listed, the lowest first."""
        listed, at = self._listed.get(key, []), self._bits.get(key, 0)
        self._bits[key] = at + 8 * len(bits)
        if self._bits[key] >= len(listed) + 8:
            raise RemoteError(Defect.OUT_OF_RANGE, "lacking", "a bit for each id that was listed")
        for place, lacks in enumerate(bits[bit // 8] >> bit % 8 & 1 for bit in range(8 * len(bits))):
            if lacks and at + place >= len(listed):
                raise RemoteError(Defect.OUT_OF_RANGE, "lacking", "an id that was listed")
            if lacks:
                hour, found = listed[at + place]
                self._lacking[found] = hour

    def _take_range(self, key: SetKey, said: Range) -> None:
        if said.mode is Mode.LIST:
            self._compare(key, said)
        elif said.payload != self._sets[key].fingerprint(said.span, self._key):
            self._describe(key, said.span, PARTS)

    def _compare(self, key: SetKey, said: Range) -> None:
        theirs = said.listed
        mine = self._sets[key].keys(said.span)
        shorts = {short_id(found, self._key): (hour, found) for hour, found in mine} if theirs else {}
        if theirs:
            listed = set(theirs)
            lacks = [short not in shorts for short in theirs]
            self._coming += sum(lacks)
            self._answer(key).lacking.extend(lacks)
            mine = [item for short, item in shorts.items() if short not in listed]
        if mine:
            self._give(key, mine)

    def _give(self, key: SetKey, lacking: list[Key]) -> None:
        self._answer(key).coming += len(lacking)
        self._lacking.update((found, hour) for hour, found in lacking)

    # what we say of a range

    def _describe(self, key: SetKey, span: Span, parts: int) -> None:
        found = self._sets[key]
        count = found.count(span)
        if count <= LEAF or parts < 2:
            self._put(key, span, count)
        elif self._step + 1 <= LAST_SPLIT:
            for part in found.split(span, parts):
                self._put(key, part, found.count(part))
        elif count <= MAX_LISTED and self._step + 1 < MAX_STEPS:
            self._list(key, span)
        else:
            self._cut = True

    def _put(self, key: SetKey, span: Span, count: int) -> None:
        if count <= LEAF:
            self._list(key, span)
        else:
            self._ask(key, Range(span, Mode.FINGERPRINT, self._sets[key].fingerprint(span, self._key)))

    def _list(self, key: SetKey, span: Span) -> None:
        keys = self._sets[key].keys(span)
        if self._ask(key, Range(span, Mode.LIST, b"".join(short_id(found, self._key) for _, found in keys))):
            self._answer(key).listed.extend(keys)

    def _ask(self, key: SetKey, said: Range) -> bool:
        self._room -= said.weight
        if self._room < 0:
            self._cut = True
            return False
        self._answer(key).ranges.append(said)
        return True

    def _answer(self, key: SetKey) -> Answer:
        return self._answers.setdefault(key, Answer())

    def _whole(self, key: SetKey) -> Span:
        return (first_hour(key[1], self.hour), b""), END


class Repair:
    """ROOTS and RANGE of one session: who starts a run, and the run under way.

    The side with the lower node id `starts`.  Each run answers a ROOTS of the other side, so neither can be made to
    work more often than it asked for.
    """

    def __init__(self, *, starts: bool, key: bytes) -> None:
        self.starts, self._key = starts, key
        self._asked: deque[int] = deque(maxlen=MAX_ASKED)  # hours of the ROOTS we said since the one of the last run
        self.run: Run | None = None

    def roots(self, sets: Sets, hour: int) -> Roots:
        """Our ROOTS: the wish for a repair, at our clock's hour."""
        if not self.starts:
            self._asked.append(hour)
        return Roots(hour=hour, root=root(sets, hour, self._key))

    def differs(self, roots: Roots, sets: Sets) -> bool:
        """Whether the peer's root is another than ours over `sets`, frozen for its hour."""
        return roots.root != root(sets, roots.hour, self._key)

    def start(self, sets: Sets, hour: int) -> list[Ranges]:
        """Begin a run as an answer to ROOTS of that hour.

        Raises:
            LocalError: WRONG_ORDER, the other side starts, or a run is under way.

        """
        if not self.starts or self.run is not None:
            raise LocalError(Defect.WRONG_ORDER, "RANGE", "the starter, between runs")
        self.run = Run(sets, hour, self._key)
        return self.run.first()

    def take(self, message: Ranges, freeze: Callable[[int], Sets]) -> list[Ranges]:
        """Take one frame of the run; the other side's first begins one, over what `freeze(hour)` gives.

        Raises:
            RemoteError: WRONG_ORDER, a run that nobody asked for, or what `Run.take` refuses.

        """
        if self.run is None:
            if self.starts or message.hour not in self._asked:
                raise RemoteError(Defect.WRONG_ORDER, "RANGE", "a run that was asked for")
            # What we said after that one may have crossed the beginning of this run, and is answered after it.
            while self._asked.popleft() != message.hour:
                pass
            self.run = Run(freeze(message.hour), message.hour, self._key)
        return self.run.take(message)

    def finish(self) -> Difference | None:
        """What a run found that has just ended; None while it goes on, or where there is none."""
        if self.run is None or not self.run.over:
            return None
        found, self.run = self.run.difference, None
        return found
