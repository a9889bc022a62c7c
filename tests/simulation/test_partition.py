"""A month apart: two halves of a circle that cannot reach each other, each with a steward, and both go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from almenara.node import links
from almenara.node.service import LOCAL
from tests.simulation.parameters import TINY
from tests.simulation.people import DAY_SECONDS
from tests.simulation.world import World

pytestmark = pytest.mark.timeout(600)

APART_DAYS, EVERY_DAYS = 30, 10
DIAL_SECONDS = 6 * 3600.0  # in place of five minutes: a month of dialling in vain proves nothing
CALM = replace(TINY, nodes=5, alerts=0, round_hours=72.0, skew_minutes=0.0, extra_pairs=10)  # everybody is paired


class Apart(World):
    """Two stewards and three members; the first two sites lose sight of the others."""

    async def _work(self) -> None:
        first, *others = self.sites
        await self.people._found(first)
        (circle,) = self.people._groups(first)
        for other, role in zip(others, ("member", "steward", "member", "member"), strict=True):
            await first.service.invite_to_circle(LOCAL, circle.id.hex(), other.id.text, role)
            await asyncio.sleep(600)
            await other.service.accept_circle(LOCAL, circle.id.hex())
            await asyncio.sleep(600)
        for here in self.sites[:2]:
            for there in self.sites[2:]:
                self.network.sever(here, there)
        for _ in range(0, APART_DAYS, EVERY_DAYS):
            await asyncio.sleep(EVERY_DAYS * DAY_SECONDS)
            for site in self.sites:
                await self.people.send_in(site, self.people._groups(site)[0])


def test_after_thirty_days_apart_everybody_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys were changed four times on either side meanwhile, under statements that the other side did not know."""
    monkeypatch.setattr(links, "CAP_SECONDS", DIAL_SECONDS)
    world = Apart(1, CALM).run()
    assert world.violations == []
    assert len(world.ledger.alerts) == APART_DAYS // EVERY_DAYS * len(world.sites)
    assert world.trace.counts["link"] > 10  # all met again
