"""Finding what cursors cannot: what we hold and peers lack, and the other way round (DESIGN §6, SPEC §13).

The index holds ids only, and is read from the log when a repair needs it, a page at a time and from where it was read
last; so nothing that arrives pays for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog

from almenara.node.clock import Clock, minute_of
from almenara.protocol.idsets import EMPTY, Frozen, IdSet, SetKey, first_hour
from almenara.protocol.limits import CLASS_DAYS, HOURS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.storage.rows import IdRow, PlaceRow
    from almenara.protocol.messages import Ranges, Roots
    from almenara.protocol.reconcile import Difference
    from almenara.protocol.session import Session

PAGE = 1_000  # ids read in one transaction, some 10 ms
EVERY_SECONDS = 6 * 3_600.0
JITTER = 0.2  # of EVERY_SECONDS, so that the nodes of a network do not act in step
BURST = 8  # comparisons with one peer at once: circles joined one after another
REFILL_SECONDS = 60.0  # then one a minute, so that a peer cannot keep us comparing
TOLD_TIMES = 20  # pages that show progress are fetched again about so often in a repair
QUIET_SECONDS = 60.0  # without an arrival, after which no progress is shown
FAR_HOURS = 24  # a root of an hour further from our clock's is not looked at
KEPT_DAYS = 2  # ids stay so long after their class's life, for peers whose clocks are behind

log = structlog.get_logger()


class Index:
    """The ids of everything the log holds, or refused, by scope and hour."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._sets: dict[SetKey, IdSet] = {}
        self._logged, self._refused = 0, 0  # positions reached
        self._hour = 0  # of the last reading
        self._reading = asyncio.Lock()

    async def catch_up(self) -> None:
        """Read what was added to the log since the last time; all of it at the first."""
        async with self._reading:
            self._keep_time()
            while rows := await self._page(lambda tx: tx.log.ids_after(self._logged, PAGE)):
                self._logged = self._add(rows)
            while rows := await self._page(lambda tx: tx.log.refused_after(self._refused, PAGE)):
                self._refused = self._add(rows)

    async def _page(self, read: Callable[[Transaction], Awaitable[list[IdRow]]]) -> list[IdRow]:
        async with self._store.read() as tx:
            return await read(tx)

    def _add(self, rows: Sequence[IdRow]) -> int:
        for row in rows:
            self._sets.setdefault((row.tag, row.cls), IdSet()).add(row.created_hour, row.envelope_id)
        return rows[-1].position or 0

    def _keep_time(self) -> None:
        """Forget what is past its life; after a clock that was ahead, begin anew, for it made us forget too much."""
        before, self._hour = self._hour, minute_of(self._clock()) // 60
        if self._hour < before:
            self._sets, self._logged, self._refused = {}, 0, 0
        self._prune(self._hour)

    def _prune(self, hour: int) -> None:
        for key, found in list(self._sets.items()):
            found.prune(hour - HOURS_PER_DAY * (CLASS_DAYS[key[1]] + KEPT_DAYS))
            if not len(found):
                del self._sets[key]

    def freeze(self, tags: Iterable[bytes], hour: int) -> dict[SetKey, Frozen]:
        """The sets of these scopes as they are now, for a repair of one hour."""
        keys = [(tag, cls) for tag in tags for cls in range(len(CLASS_DAYS))]
        return {key: self._sets[key].freeze(first_hour(key[1], hour)) if key in self._sets else EMPTY for key in keys}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a repair has come that brings us something."""

    expected: int
    received: int


@dataclass(frozen=True, slots=True)
class _Owed:
    """An envelope to be pushed that the pump went by; in its scope, or if it has none here, whatever is proven."""

    lane: int
    hour: int
    position: int
    envelope_id: bytes
    tag: bytes | None


class Repairs:
    """The index, and the repair of every open session."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.index = Index(store, clock)
        self.open: set[SessionRepair] = set()
        self.on_progress: Callable[[bytes], None] = lambda _: None

    def request(self) -> None:
        """Compare with every connected peer: something came into our log by another way than a session."""
        for each in self.open:
            each.request()


class SessionRepair:
    """The repair of one session: when to compare, what to say, and what is to be pushed in the end.

    Progress is told at its begin, its end, and a few times in between.  `reached` gives how far the pump has come in
    each lane and which (lane, position) are under way; `wake` starts it.
    """

    def __init__(
        self,
        repairs: Repairs,
        peer: bytes,
        session: Session,
        say: Callable[[bytes], None],
        reached: Callable[[], tuple[dict[int, int], Collection[tuple[int, int]]]],
        wake: Callable[[], None],
    ) -> None:
        self._repairs, self._peer, self._session = repairs, peer, session
        self._say, self._reached, self._wake = say, reached, wake
        self._repair = session.repair()
        self._wanted = False
        self._told: Roots | None = None
        self._due = asyncio.Event()
        self._passed: tuple[dict[int, int], frozenset[tuple[int, int]]] = ({}, frozenset())
        self._begun: dict[int, int] = {}  # where the pump began in each lane
        self._again: list[bytes] = []  # our own that the peer never answered, not looked up yet
        self._lacking: list[tuple[int, bytes]] = []  # what runs found, not looked up yet
        self._owed: deque[_Owed] = deque()
        self._expected, self._received = 0, 0
        self._moved_at = 0.0

    @property
    def starts(self) -> bool:
        """Whether ours is the side that starts runs; what both sides know of, the other tells."""
        return self._repair.starts

    @property
    def backlog(self) -> int:
        """How many envelopes are still to be pushed because of a repair."""
        return len(self._again) + len(self._lacking) + len(self._owed)

    @property
    def progress(self) -> Progress | None:
        """How far it has come, while it goes on; a peer may announce more than it can hand on."""
        goes_on = self._received < self._expected and _now() - self._moved_at < QUIET_SECONDS
        return Progress(self._expected, self._received) if goes_on else None

    def request(self) -> None:
        """Compare soon."""
        self._wanted = True
        self._due.set()

    def scopes_proven(self) -> None:
        """Both sides know it: the one that does not start says ROOTS."""
        if not self.starts:
            self.request()

    def arrived(self) -> None:
        """The peer pushed something."""
        if self._received < self._expected:
            self._received += 1
            self._moved_at = _now()
            if self._received == self._expected or self._received % max(self._expected // TOLD_TIMES, 1) == 0:
                self._repairs.on_progress(self._peer)

    # comparing

    async def run(self) -> None:
        """For ever: compare when somebody asks, and every six hours."""
        self._repairs.open.add(self)
        try:
            self.scopes_proven()
            pace = _Pace()
            while True:
                await self._wait()
                await pace.wait()
                await self._compare()
        finally:
            self._repairs.open.discard(self)

    async def _wait(self) -> None:
        self._due.clear()
        while self._repair.run is not None or not (self._wanted or self._told):
            try:
                async with asyncio.timeout(EVERY_SECONDS * (1 + SystemRandom().uniform(-JITTER, JITTER))):
                    await self._due.wait()
            except TimeoutError:
                self._wanted = True
            self._due.clear()

    async def _compare(self) -> None:
        """Judge the peer's root, or else tell ours. It may be that a run began meanwhile: then after it."""
        await self._repairs.index.catch_up()
        if self._repair.run is not None or self._session.ended:
            return
        hour = minute_of(self._repairs.clock()) // 60
        told, self._told = self._told, None
        if told is not None:
            if abs(told.hour - hour) <= FAR_HOURS and self._repair.differs(told, self._freeze(told.hour)):
                self._answer(told)
        else:
            self._wanted = False
            self._say(self._session.say_roots(self._repair.roots(self._freeze(hour), hour)))

    def _answer(self, told: Roots) -> None:
        if self.starts:
            self._mark()
            self._tell(self._repair.start(self._freeze(told.hour), told.hour))
        else:
            self.request()

    def _freeze(self, hour: int) -> dict[SetKey, Frozen]:
        return self._repairs.index.freeze(self._session.proven, hour)

    def _mark(self) -> None:
        """What the pump has not passed yet, or has under way, the peer gets without us."""
        sent, in_flight = self._reached()
        self._passed = (dict(sent), frozenset(in_flight))

    def _tell(self, frames: list[Ranges]) -> None:
        for frame in frames:
            self._say(self._session.say_ranges(frame))

    def on_roots(self, roots: Roots) -> None:
        """The last one counts."""
        self._told = roots
        self._due.set()

    async def on_ranges(self, ranges: Ranges) -> None:
        """A frame of a run. Raises RemoteError for one that breaks a rule."""
        if self._repair.run is None:
            await self._repairs.index.catch_up()
            self._mark()
        self._tell(self._repair.take(ranges, self._freeze))
        found = self._repair.finish()
        if found is not None:
            self._finish(found)

    def _finish(self, found: Difference) -> None:
        self._lacking += found.lacking
        self._expected, self._received, self._moved_at = found.coming, 0, _now()
        if found.coming:
            self._repairs.on_progress(self._peer)
        log.info("repaired", lacking=len(found.lacking), coming=found.coming)
        if found.cut:
            self._wanted = True
        self._due.set()
        self._wake()

    # what the peer lacks

    def push_again(self, envelope_ids: Iterable[bytes], sent: Mapping[int, int]) -> None:
        """These are owed whatever a comparison finds, up to where the pump begins."""
        self._again += envelope_ids
        self._begun = dict(sent)

    async def next_ids(self, limit: int) -> list[bytes]:
        """The next envelopes to push: the critical lane first, then the newest hours, each in its order."""
        if self._again or self._lacking:
            await self._look_up()
        proven = self._session.proven
        found: list[bytes] = []
        while self._owed and len(found) < limit:
            owed = self._owed.popleft()
            if owed.tag is None or owed.tag in proven:
                found.append(owed.envelope_id)
        return found

    async def _look_up(self) -> None:
        """Find lanes, hours and scopes of what is owed. Nothing is owed twice."""
        again, lacking = set(self._again), {envelope_id for _, envelope_id in self._lacking}
        self._again, self._lacking = [], []
        sent, in_flight = self._passed
        owed = {each.envelope_id: each for each in self._owed}
        for row in await self._places([*again, *(lacking - again)]):
            place = (row.lane, row.position)
            if row.envelope_id in again and row.position <= self._begun[row.lane]:
                owed[row.envelope_id] = _Owed(row.lane, row.created_hour, row.position, row.envelope_id, None)
            elif row.envelope_id in lacking and row.position <= sent.get(row.lane, 0) and place not in in_flight:
                owed.setdefault(
                    row.envelope_id, _Owed(row.lane, row.created_hour, row.position, row.envelope_id, row.tag)
                )
        self._owed = deque(sorted(owed.values(), key=lambda each: (each.lane, -each.hour, each.position)))

    async def _places(self, ids: Sequence[bytes]) -> list[PlaceRow]:
        found: list[PlaceRow] = []
        for at in range(0, len(ids), PAGE // 2):
            async with self._repairs.store.read() as tx:
                found += await tx.log.places(ids[at : at + PAGE // 2])
        return found


def _now() -> float:
    """Seconds that no clock's correction moves."""
    return asyncio.get_running_loop().time()


class _Pace:
    """Lets a few pass at once, then one a minute."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = _now()

    async def wait(self) -> None:
        now = _now()
        self._left = min(self._left + (now - self._at) / REFILL_SECONDS, float(BURST))
        self._at = now
        if self._left < 1:
            await asyncio.sleep((1 - self._left) * REFILL_SECONDS)
        self._left -= 1
