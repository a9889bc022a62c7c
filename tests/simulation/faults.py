"""What goes wrong in a run: partitions, dying connections, crashes at any write, full disks, old snapshots put back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.simulation.people import DAY_SECONDS, FIRST_HOURS

if TYPE_CHECKING:
    from tests.simulation.site import Site
    from tests.simulation.world import World

WRITES_UNTIL_CRASH = 60  # a message or two make some twenty writes, so the next hours of work reach the chosen one
PARTITION_HOURS = (0.01, 40.0)  # seconds, in which connections survive, to most of two days
FULL_HOURS = (0.1, 12.0)
AWAY_HOURS = (0.0, 30.0)


class Faults:
    """Each at a random time; what it breaks heals by itself later, or at the end of the run."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.faults

    async def work(self) -> None:
        """All of them, in the order of their times."""
        asked, plan = self.world.parameters, list[tuple[float, str]]()
        first, last = FIRST_HOURS * 2 * 3600, asked.days * DAY_SECONDS
        for what, count in (
            ("partition", asked.partitions),
            ("break", asked.breaks),
            ("crash", asked.crashes),
            ("full", asked.full_disks),
            ("snapshot", asked.restores),
        ):
            plan += [(self.rng.uniform(first, last), what) for _ in range(count)]
        begun = self.world.loop.time()
        for at, what in sorted(plan):
            await asyncio.sleep(max(0.0, begun + at - self.world.loop.time()))
            work = getattr(self, f"_{what}")
            self.world.spawn(work() if what == "partition" else work(self.rng.choice(self.world.sites)))

    async def _partition(self) -> None:
        """Two sides that cannot reach each other; several may overlap."""
        side = set(self.rng.sample(range(len(self.world.sites)), self.rng.randint(1, len(self.world.sites) // 2)))
        sites = list(enumerate(self.world.sites))
        self.world.trace.note("partition", " ".join(self.world.sites[number].name for number in sorted(side)))
        for number, here in sites:
            for other, there in sites:
                if number in side and other not in side:
                    self.world.network.sever(here, there)
        await asyncio.sleep(self.rng.uniform(*PARTITION_HOURS) * 3600)
        self.world.trace.note("reunion")
        self.world.network.heal()

    async def _break(self, site: Site) -> None:
        other = self.rng.choice([one for one in self.world.sites if one is not site])
        if site.listening:
            known = [self.world.site(raw) for raw in sorted(site.node.circles.verified)]
            other = self.rng.choice(known) if known else other
        self.world.network.break_links(site, other)

    async def _crash(self, site: Site) -> None:
        """Mostly in the middle of a write, sometimes at rest and for long."""
        if self.rng.random() < 0.8:
            site.disk.strike(self.rng.randrange(WRITES_UNTIL_CRASH))
        elif site.listening:
            await site.crash()
            await asyncio.sleep(self.rng.uniform(*AWAY_HOURS) * 3600)
            await site.revive()

    async def _full(self, site: Site) -> None:
        self.world.trace.note("full", site.name)
        site.disk.full = True
        await asyncio.sleep(self.rng.uniform(*FULL_HOURS) * 3600)
        site.disk.full = False
        self.world.trace.note("room", site.name)

    async def _snapshot(self, site: Site) -> None:
        """Taken now, put back later, before all is healed."""
        folder = self.world.folder / f"snapshot-{site.name}"
        site.disk.copy_to(folder)
        days = self.world.parameters.days
        await asyncio.sleep(self.rng.uniform(0.02, 0.4) * days * DAY_SECONDS)
        if site.listening and not self.world.healed:
            await site.roll_back(folder)
