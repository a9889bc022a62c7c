"""What peers announced and we lack: asked of one of them after a moment, for mostly another brings it (DESIGN §6).

Every announced position gets its answer: at once where we have the envelope, else when it has come, whoever brought it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy.exc import SQLAlchemyError

from almenara.node.frontier import Frontier
from almenara.protocol.flow import MAX_TOLD
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from almenara.crypto.identity import NodeId
    from almenara.node.storage.engine import Store, Transaction

WAIT_SECONDS = (0.15, 0.45)  # before asking: three pushers need about one round trip and a commit
ASK_AGAIN_SECONDS = 10.0  # then the next announcer is asked; a slow line delivers 128 envelopes in 4 s
ASKED_AT_ONCE = 128  # envelopes asked of one peer and not come yet: 512 KiB
TICK_SECONDS = 0.05
WRITE_SECONDS = 10.0  # cursors that rose without a push are written down so often; lost, they cost announcements only
REFUSED_KEPT = 4_096  # ids of refused envelopes, so that one bad envelope is not fetched from everybody who has it

OPENED, HELD, REFUSED = "opened", "held", "refused"
OUTCOMES: Final = {OPENED: Outcome.STORED, "own": Outcome.STORED, HELD: Outcome.HELD, REFUSED: Outcome.REFUSED}

log = structlog.get_logger()


class Answered(Protocol):
    """Who brought an envelope, and where the answer goes: a session, or a file that somebody read in."""

    peer: NodeId
    peer_epoch: bytes  # of its log; empty where there is no log to have a cursor in

    def acknowledge(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        """What became of positions, after the commit; after *held*, another may follow."""


class Announcer(Answered, Protocol):
    """A session as far as this module knows it."""

    def want(self, places: Sequence[tuple[int, int]]) -> None:
        """Ask for announced (lane, position)."""


@dataclass(slots=True)
class Missing:
    """One envelope that is not here: who has it, and who was asked for it last."""

    places: dict[Announcer, tuple[int, int]] = field(default_factory=dict)
    unasked: list[Announcer] = field(default_factory=list)
    asked: Announcer | None = None


class Wants:
    """All that is announced and missing, and how far we have come in every session."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._missing: dict[bytes, Missing] = {}
        self._of: defaultdict[Announcer, set[bytes]] = defaultdict(set)
        self._asked: Counter[Announcer] = Counter()
        self._due: list[tuple[float, int, bytes]] = []
        self._number, self._rng = count(), SystemRandom()
        self._under_way: Counter[bytes] = Counter()
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._frontiers: WeakKeyDictionary[Answered, tuple[Frontier, Frontier]] = WeakKeyDictionary()
        self._risen: set[Announcer] = set()
        self._some = asyncio.Event()

    # how far we have come

    def begin(self, exchange: Answered, cursors: Mapping[int, int]) -> None:
        """A session begins where the one before got to."""
        self._frontiers[exchange] = (Frontier(cursors.get(0, 0)), Frontier(cursors.get(1, 0)))

    def frontier(self, exchange: Answered, lane: int) -> Frontier:
        """How far we have come in one lane."""
        if exchange not in self._frontiers:
            self.begin(exchange, {})
        return self._frontiers[exchange][lane]

    def left(self, exchange: Announcer) -> None:
        """The session is over: what it announced is asked of others."""
        for found in self._of.pop(exchange, ()):
            missing = self._missing[found]
            del missing.places[exchange]
            if exchange in missing.unasked:
                missing.unasked.remove(exchange)
            if not missing.places:
                del self._missing[found]
            elif missing.asked is exchange:
                missing.asked = None
                self._ask_in(found, 0.0)
        self._asked.pop(exchange, None)
        self._frontiers.pop(exchange, None)
        self._risen.discard(exchange)

    # what is announced

    async def announced(self, exchange: Announcer, places: Iterable[tuple[int, int, bytes]]) -> None:
        """Answer what is here; wait for the rest, then ask."""
        told = list(places)
        for lane, position, found in told:
            self.frontier(exchange, lane).wait(position)
            self._miss(exchange, lane, position, found)
        async with self._store.read() as tx:
            known = await tx.log.known({found for _, _, found in told})
        here = {found: OUTCOMES[state] for found, (_, state) in known.items()}
        here |= {found: Outcome.REFUSED for _, _, found in told if found in self._refused}
        self.arrived(here)

    def _miss(self, exchange: Announcer, lane: int, position: int, found: bytes) -> None:
        missing = self._missing.setdefault(found, Missing())
        # Announced anew after *busy* it may be asked for again; at two positions of one log no honest node has it.
        if missing.places.get(exchange, (lane, position)) != (lane, position) or exchange in missing.unasked:
            return
        missing.places[exchange] = (lane, position)
        missing.unasked.append(exchange)
        self._of[exchange].add(found)
        if len(missing.unasked) == 1 and missing.asked is None:
            self._ask_in(found, self._rng.uniform(*WAIT_SECONDS))

    def _ask_in(self, found: bytes, seconds: float, now: float | None = None) -> None:
        now = asyncio.get_running_loop().time() if now is None else now
        heapq.heappush(self._due, (now + seconds, next(self._number), found))
        self._some.set()

    # what comes

    def coming(self, found: bytes) -> None:
        """An envelope is in the queue: no need to ask for it."""
        self._under_way[found] += 1

    def came(self, ids: Iterable[bytes]) -> None:
        """These have left the queue, whatever became of them."""
        for found in ids:
            self._under_way[found] -= 1
            if self._under_way[found] <= 0:
                del self._under_way[found]

    def arrived(self, outcomes: Mapping[bytes, Outcome]) -> list[tuple[bytes, Announcer, int, int]]:
        """Answer everybody who announced these; returns (id, session, lane, position) of what was answered."""
        answered: list[tuple[bytes, Announcer, int, int]] = []
        answers: defaultdict[tuple[Announcer, int], list[tuple[int, Outcome]]] = defaultdict(list)
        for found, outcome in outcomes.items():
            if outcome is Outcome.REFUSED:
                self._remember_refused(found)
            missing = self._missing.pop(found, None)
            if missing is None:
                continue
            self._release(missing)
            for exchange, (lane, position) in missing.places.items():
                self._of[exchange].discard(found)
                answers[exchange, lane].append((position, outcome))
                answered.append((found, exchange, lane, position))
        for (exchange, lane), told in answers.items():
            self.frontier(exchange, lane).settle(position for position, _ in told)
            self._risen.add(exchange)
            self._some.set()
            exchange.acknowledge(lane, told)
        return answered

    def _remember_refused(self, found: bytes) -> None:
        self._refused[found] = None
        while len(self._refused) > REFUSED_KEPT:
            self._refused.popitem(last=False)

    def _release(self, missing: Missing) -> None:
        if missing.asked is not None:
            self._asked[missing.asked] -= 1
            missing.asked = None

    # asking

    async def run(self) -> None:
        """For ever: ask for what is due, and write down cursors that rose without a push."""
        loop = asyncio.get_running_loop()
        written = loop.time()
        while True:
            await self._some.wait()
            try:
                self.ask(loop.time())
            except Exception as error:  # noqa: BLE001 - whatever it was, what is due next must still be asked for
                log.error("want-failed", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
            if self._risen and loop.time() - written >= WRITE_SECONDS:
                await self._write_safely()
                written = loop.time()
            if not self._due and not self._risen:
                self._some.clear()
            await asyncio.sleep(TICK_SECONDS)

    def ask(self, now: float) -> None:
        """Send a WANT for everything that is due and still missing."""
        wanted: defaultdict[Announcer, list[tuple[int, int]]] = defaultdict(list)
        while self._due and self._due[0][0] <= now:
            found = heapq.heappop(self._due)[2]
            missing = self._missing.get(found)
            if missing is None:
                continue
            self._release(missing)
            if found in self._under_way or not self._choose(missing, wanted):
                if found in self._under_way or missing.unasked:
                    self._ask_in(found, WAIT_SECONDS[1], now)
                continue
            self._ask_in(found, ASK_AGAIN_SECONDS, now)
        for exchange, places in wanted.items():
            for at in range(0, len(places), MAX_TOLD):
                exchange.want(places[at : at + MAX_TOLD])

    def _choose(self, missing: Missing, wanted: defaultdict[Announcer, list[tuple[int, int]]]) -> bool:
        """Ask whoever has the fewest questions open; nobody when all have enough, or all were asked."""
        free = [each for each in missing.unasked if self._asked[each] < ASKED_AT_ONCE]
        if not free:
            return False
        chosen = min(free, key=self._asked.__getitem__)
        missing.unasked.remove(chosen)
        missing.asked = chosen
        self._asked[chosen] += 1
        wanted[chosen].append(missing.places[chosen])
        return True

    async def _write_safely(self) -> None:
        try:
            async with self._store.write() as tx:
                await self.write(tx)
        except (SQLAlchemyError, OSError) as error:
            log.error("cursors-not-written", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data

    async def write(self, tx: Transaction) -> None:
        """Write down how far answers without a push have come."""
        risen, self._risen = self._risen, set()
        for exchange in risen:
            for lane, frontier in enumerate(self._frontiers.get(exchange, ())):
                await tx.log.raise_incoming(exchange.peer.raw, lane, exchange.peer_epoch, frontier.cursor)
