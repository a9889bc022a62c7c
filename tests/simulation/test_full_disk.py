"""A node whose disk is full is left in peace for a while, and has everything once there is room again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from almenara.node.links import CAP_SECONDS
from tests.simulation.parameters import TINY
from tests.simulation.world import World

HOUR = 3600.0
PEACEFUL = replace(TINY, nodes=2, alerts=0, extra_pairs=0, skew_minutes=0.0)


class FullDisk(World):
    """Two nodes; one has no room for an hour while the other sends."""

    async def _work(self) -> None:
        sender, full = self.sites
        (circle,) = list(sender.node.circles)
        full.disk.full = True
        await self.people.send_in(sender, circle)
        before = self.trace.counts["link"]
        await asyncio.sleep(HOUR)
        self.links = self.trace.counts["link"] - before
        full.disk.full = False


def test_a_node_without_room_is_called_once_a_minute_and_gets_everything_later() -> None:
    """It said when to come back: without that, every second or two all that it lacks was sent to it anew."""
    world = FullDisk(1, PEACEFUL).run()
    assert world.violations == []
    assert len(world.ledger.alerts) == 1
    assert HOUR / CAP_SECONDS <= world.links <= 2 * HOUR / 60  # both may dial in one moment
