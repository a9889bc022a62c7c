"""Alpha, which is attacked; beta, which is honest; and mallory, a member like any until somebody took its keys."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from almenara.node.casebook import id_text, parse_id
from almenara.node.models import CircleNew
from almenara.node.service import LOCAL, Service
from almenara.protocol.envelope import envelope_id
from almenara.protocol.session import Outcome
from tests.support.hostile import Outlaw
from tests.support.nodes import make_home, pair, running
from tests.support.steps import direct_circle, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from almenara.node.home import Home
    from almenara.node.storage.engine import Store
    from almenara.node.storage.rows import QuarantineRow
    from tests.support.blaster import Blaster


@dataclass(slots=True)
class World:
    """The nodes, and the circles that mallory is in."""

    alpha: Service
    beta: Service
    home: Home
    mallory: Outlaw
    circle: bytes  # network tier; alpha steward, beta and mallory members
    quiet: bytes  # network tier; alpha steward, mallory subscriber
    direct: bytes  # alpha and mallory

    @property
    def store(self) -> Store:
        """Alpha's database."""
        return self.alpha._open.store

    def id_of(self, service: Service) -> bytes:
        """A node's id, raw."""
        return service._open.peers._circles.own.raw

    async def connect(self) -> Blaster:
        """A session of mallory's with alpha."""
        return await self.mallory.connect(self.alpha, self.home)

    async def refusal(self, envelope: bytes) -> QuarantineRow | None:
        """Why alpha put an envelope aside, if it did."""
        async with self.store.read() as tx:
            rows = await tx.quarantine.recent(10_000)
        return next((row for row in rows if row.envelope_id == envelope_id(envelope)), None)

    async def inbox(self) -> list[str]:
        """Ids of all alerts of others, in order of arrival."""
        async with self.store.read() as tx:
            return [id_text(row.alert_id) for row in await tx.alerts.inbox(0, 100_000)]

    async def cursor(self, lane: int = 1) -> int:
        """How far alpha has taken mallory's log."""
        async with self.store.read() as tx:
            return (await tx.log.incoming(self.mallory.own.raw)).get(lane, (b"", 0))[1]

    async def state(self) -> dict[str, Any]:
        """Everything that what was sent to alpha could have changed."""
        async with self.store.read() as tx:
            rows = [await tx.alerts.count(), await tx.log.head(), await tx.chains.all(), await tx.statements.all()]
        circles = (await self.alpha.circles(LOCAL)).model_dump()
        return {"inbox": await self.inbox(), "circles": circles, "rows": rows}

    async def attack(self, make: Callable[[World], bytes]) -> tuple[list[bytes], list[Outcome]]:
        """One made anew at the first, a middle and the last place of a batch of good ones, which must all arrive."""
        good, bad, outcomes = self.mallory.forger(self.circle), [], []
        blaster = await self.connect()
        try:
            for place in range(3):
                bad.append(make(self))
                envelopes = [good.alert(), good.alert()]
                envelopes.insert(place, bad[-1])
                await self.push_as_one_batch(blaster, envelopes)
                told = [blaster.outcomes[blaster.position - back] for back in (2, 1, 0)]
                outcomes.append(told.pop(place))
                assert told == [Outcome.STORED] * 2
                assert await self.cursor() == blaster.position
                assert (await self.inbox())[-2:] == good.sent[-2:]
        finally:
            await blaster.close()
        return bad, outcomes

    async def push_as_one_batch(self, blaster: Blaster, envelopes: Sequence[bytes]) -> None:
        """While somebody else writes, what arrives waits; then it is taken in one transaction."""
        async with self.store.write(), asyncio.timeout(20):
            for envelope in envelopes:
                await blaster.push(envelope)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            await blaster.settled()

    async def push(self, *envelopes: bytes, lane: int = 1) -> list[Outcome]:
        """In a session of its own; returns what became of each."""
        blaster = await self.connect()
        try:
            for envelope in envelopes:
                await blaster.push(envelope, lane)
            async with asyncio.timeout(20):
                await blaster.settled()
            return [blaster.outcomes[position] for position in sorted(blaster.outcomes)]
        finally:
            await blaster.close()


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[World]:
    """Three nodes pair and form circles; then mallory's node is closed and its keys are used by somebody else."""
    homes = {name: make_home(folder / name, name) for name in ("alpha", "beta", "mallory")}
    async with AsyncExitStack() as stack:
        alpha = await stack.enter_async_context(running(homes["alpha"]))
        beta = await stack.enter_async_context(running(homes["beta"]))
        mallory = Outlaw.of(homes["mallory"])
        async with running(homes["mallory"]) as before:
            await pair(alpha, beta)
            await pair(alpha, before)
            circle = await alpha.create_circle(LOCAL, CircleNew(name="c-andes", tier="network"))
            await join(alpha, beta, circle.circle_id)
            await join(alpha, before, circle.circle_id)
            quiet = await alpha.create_circle(LOCAL, CircleNew(name="c-quiet", tier="network"))
            await join(alpha, before, quiet.circle_id, role="subscriber")
            direct = await direct_circle(alpha, mallory.own.text)
            await mallory.learn(before)
        stack.push_async_callback(mallory.close)
        yield World(
            alpha=alpha,
            beta=beta,
            home=homes["alpha"],
            mallory=mallory,
            circle=parse_id(circle.circle_id),
            quiet=parse_id(quiet.circle_id),
            direct=parse_id(direct),
        )
