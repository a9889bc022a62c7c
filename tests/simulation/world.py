"""One run: sites, a network, a seed; a time of work and faults, then everything heals and is looked at."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import structlog

from almenara.node import links, maintenance
from almenara.protocol.card import parse_introduction
from tests.simulation.chance import seeded
from tests.simulation.clock import NOW, VirtualLoop
from tests.simulation.disk import empty_database
from tests.simulation.faults import Faults
from tests.simulation.ledger import Ledger
from tests.simulation.network import Network
from tests.simulation.people import People
from tests.simulation.site import Site
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from almenara.crypto.identity import NodeId
    from almenara.node.daemon import _Node
    from tests.simulation.parameters import Parameters

FAULTS_OF_OURS = frozenset({"batch-failed", "task-died", "session-failed", "internal", "session-refused"})
# What our own faults look like to a node.
OF_THE_DISK = frozenset({"OperationalError", "PendingRollbackError", "ProgrammingError"})
QUIET_SECONDS = 600.0
MOST_QUIETS = 12  # a run that has not come to rest by then never does
_FAST = Path("/dev/shm")  # the folder made in it is private


class World:
    """Everything of one run; `on_node` is where a test breaks a node on purpose."""

    def __init__(
        self, seed: int, parameters: Parameters, on_node: Callable[[_Node], None] | None = None, *, loud: bool = False
    ) -> None:
        self.seed, self.parameters = seed, parameters
        self.on_node = on_node or (lambda _: None)
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop, loud=loud)
        self.ledger = Ledger()
        self.network = Network(self.chance("network"), self.trace)
        self.faults = self.chance("faults")
        self.folder = Path(tempfile.mkdtemp(prefix="almenara-simulation-", dir=_FAST if _FAST.is_dir() else None))
        self.sites: list[Site] = []
        self.healed = False
        self.people = People(self)
        self.violations: list[str] = []
        self._beside: set[asyncio.Task[Any]] = set()

    def chance(self, *use: str) -> random.Random:
        """A generator of its own for each use, so that one more draw here moves nothing there."""
        return random.Random("/".join([str(self.seed), *use]))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that goes on by itself; a fault in it is one of the simulation's own, and a breach."""
        task = self.loop.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.violations.append(f"no-fault-of-ours: {type(error).__name__} in the simulation itself: {error}")

    def site(self, node: NodeId | bytes) -> Site:
        """The site of a node."""
        return self.network.sites[node if isinstance(node, bytes) else node.raw]

    def minute(self, at: float) -> int:
        """A moment of the run in minutes since 1970, by a clock that is right."""
        return (NOW // 1000 + int(at)) // 60

    # a run

    def run(self) -> World:
        """From the first site to the last check."""
        empty_database()  # outside of the run: only the first in a process makes it
        try:
            with self._replaced():
                asyncio.set_event_loop(self.loop)
                self.loop.run_until_complete(self._live())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        return self

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(seeded(self.seed))
            stack.enter_context(self.ledger.reading())
            stack.enter_context(_logging_to(self.ledger))
            seconds = self.parameters.round_hours * 3600
            stack.enter_context(mock.patch.object(maintenance, "EVERY_SECONDS", seconds))
            yield

    async def _live(self) -> None:
        from tests.simulation.checks import check  # noqa: PLC0415 - it knows what a world is

        try:
            await self._found()
            await self._work()
            await self.settle()
            self.violations += await check(self)
        finally:
            await self._end()

    async def _end(self) -> None:
        for site in self.sites:
            await site.crash()
        for task in list(self._beside):
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def _work(self) -> None:
        await asyncio.gather(self.people.work(), Faults(self).work())

    async def _found(self) -> None:
        rng, count = self.chance("graph"), self.parameters.nodes
        for number in range(count):
            skew = int(rng.uniform(-1, 1) * self.parameters.skew_minutes * 60_000)
            site = Site(self, self.folder, f"n{number:02}", skew)
            self.sites.append(site)
            self.network.sites[site.id.raw] = site
            site.disk.path.write_bytes(empty_database())
            await site.start()
        pairs = {(rng.randrange(number), number) for number in range(1, count)}
        while len(pairs) < min(count - 1 + self.parameters.extra_pairs * count, count * (count - 1) / 2):
            first, second = sorted(rng.sample(range(count), 2))
            pairs.add((first, second))
        for first, second in sorted(pairs):
            await self._pair(self.sites[first], self.sites[second])
        await asyncio.sleep(120)

    async def _pair(self, inviter: Site, joiner: Site) -> None:
        for mine, theirs in ((inviter, joiner), (joiner, inviter)):
            introduction = parse_introduction(theirs.node.cards.introduction(theirs.id) or b"")
            await mine.node.peers.on_code(theirs.id.raw, introduction, "1234 5678 9012")
        for mine, theirs, initiator in ((inviter, joiner, True), (joiner, inviter, False)):
            introduction = parse_introduction(theirs.node.cards.introduction(theirs.id) or b"")
            await mine.node.peers.on_paired(theirs.id.raw, introduction, initiator)

    async def settle(self) -> None:
        """Everything works again; wait until nothing new comes out of that."""
        self.trace.note("heal")
        self.healed = True
        self.network.heal()
        for site in self.sites:
            site.disk.heal()
        await asyncio.gather(*(site.revive() for site in self.sites))
        await asyncio.sleep(links.CAP_SECONDS)  # the longest wait between two dials: everybody has met
        quiet = 0
        for _ in range(MOST_QUIETS):
            before = self.ledger.pushes
            await asyncio.sleep(QUIET_SECONDS)
            for site in self.sites:
                await site.node.maintenance.round()
            await asyncio.sleep(60)
            quiet = quiet + 1 if self.ledger.pushes == before else 0
            if quiet >= 2:
                return
        self.violations.append("queues-drain: nodes never came to rest")

    def on_stopped(self, site: Site) -> None:
        """A node is down: what it said it stored must be on its disk."""
        from tests.simulation.checks import kept  # noqa: PLC0415 - it knows what a world is

        self.violations += kept(self, site)


@contextmanager
def _logging_to(ledger: Ledger) -> Iterator[None]:
    """Nodes log into the ledger what is a fault of theirs, and nothing anywhere else."""
    before = structlog.get_config()

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        if event.get("event") in FAULTS_OF_OURS and event.get("error") not in OF_THE_DISK:
            ledger.faults.append(" ".join(f"{key}={value}" for key, value in sorted(event.items())))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
