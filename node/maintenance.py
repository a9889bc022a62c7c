"""What a node does by the clock: expiry, key destruction, weekly keys and scopes (PROTOCOL §1, §4, §5.3, §5.7)."""

from __future__ import annotations

import asyncio
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog

from almenara.node.clock import minute_of
from almenara.node.contradictions import GAP_GONE_MS
from almenara.node.storage.errors import EraseBlocked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.admission import Admission
    from almenara.node.announcing import Announcements
    from almenara.node.carriage import Carriage
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.ingest import Ingest
    from almenara.node.links import Links
    from almenara.node.own_keys import OwnKeys
    from almenara.node.peers import Peers
    from almenara.node.receipts import Receipts
    from almenara.node.repeating import Repeating
    from almenara.node.storage.engine import Store
    from almenara.node.timekeeper import Timekeeper
    from almenara.node.transport.door import Door

EVERY_SECONDS = 600.0
JITTER = 0.2  # of EVERY_SECONDS, so that the nodes of a network do not act in step

log = structlog.get_logger()


class Maintenance:
    """One round every ten minutes; each part is small and safe to repeat, and none stops the others."""

    def __init__(
        self,
        store: Store,
        clock: Timekeeper,
        circles: Circles,
        admission: Admission,
        receipts: Receipts,
        repeating: Repeating,
        own_keys: OwnKeys,
        announcements: Announcements,
        peers: Peers,
        links: Links,
        ingest: Ingest,
        door: Door,
        carriage: Carriage,
    ) -> None:
        self._store, self._clock, self._circles, self._own_keys = store, clock, circles, own_keys
        self._admission, self._receipts, self._repeating = admission, receipts, repeating
        self._announcements, self._peers, self._links = announcements, peers, links
        self._ingest, self._door, self._carriage = ingest, door, carriage
        self._erasure_due = False

    async def run(self) -> None:
        """For ever, at once for the first time: a node that was off has things to destroy."""
        rng = SystemRandom()
        while True:
            await self.round()
            await asyncio.sleep(EVERY_SECONDS * (1 + rng.uniform(-JITTER, JITTER)))

    async def round(self) -> None:
        """Everything that is due now; what fails is logged, and the next round tries again."""
        await self._safely("clock", self._keep_time)
        if self._clock.doubt():
            log.warning("clock-in-doubt")
        else:
            await self._by_date()
        await self._safely("erasure", self.erase)
        await self._safely("cards", self._peers.follow_cards)  # of one that came just before a crash, nobody was told
        await self._safely("reconsideration", self._ingest.reconsider)  # what came from the future may be present now
        self._links.prove()

    @staticmethod
    async def _safely(part: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the daemon goes on; the kind of fault is in the log
            log.error("maintenance-failed", kind=part, error=type(error).__name__)  # noqa: TRY400 - a trace may hold data

    async def _keep_time(self) -> None:
        async with self._store.write() as tx:
            await self._clock.keep(tx)

    async def _by_date(self) -> None:
        """What a wrong clock would do wrongly: it waits while ours is in doubt (PROTOCOL §9)."""
        await self._safely("expiry", self._expire)
        await self._rotate()
        await self._safely("renewal", self._renew)
        await self._safely("unconfirmed", self._peers.drop_unconfirmed)
        await self._safely("carrying", self._tidy)
        await self._safely("receipts", self._write_receipts)
        await self._safely("repeating", self._repeat)

    async def _expire(self) -> None:
        now = self._clock()
        async with self._circles.change() as tx:
            keys = await tx.keys.destroy_due(now) + await tx.prekeys.destroy_own(now)
            if keys:
                await self._circles.load_keys(tx)
            await tx.gaps.give_up(now - GAP_GONE_MS)
            gone = await tx.alerts.expire(now) + await tx.log.delete_past_life(now)
        self._erasure_due |= keys + gone > 0

    async def _tidy(self) -> None:
        self._erasure_due |= await self._carriage.tidy()

    def owe_erasure(self) -> None:
        """Something was deleted that the write-ahead log still holds."""
        self._erasure_due = True

    async def erase(self) -> None:
        """Make what was deleted unreadable on this disk, now or in a later round."""
        if self._erasure_due:
            try:
                await self._store.erase_checkpoint()
            except EraseBlocked:
                log.info("erasure-waits")
            else:
                self._erasure_due = False

    async def _renew(self) -> None:
        async with self._circles.change() as tx:
            await self._own_keys.renew(tx, self._door.certificate)
            await self._announcements.make(tx)

    async def _write_receipts(self) -> None:
        async with self._circles.change() as tx:
            await self._receipts.write_due(tx)

    async def _repeat(self) -> None:
        async with self._circles.change() as tx:
            await self._repeating.send_due(tx)

    async def _rotate(self) -> None:
        for circle in self._circles:
            if self._is_due(circle):
                await self._safely("rotation", partial(self._rotate_one, circle.id))
            if not circle.direct and circle.history.may_issue(self._circles.own):
                await self._safely("admission", partial(self._admit, circle.id))

    async def _rotate_one(self, circle_id: bytes) -> None:
        async with self._circles.change() as tx:
            circle = self._circles.find(circle_id)
            if self._is_due(circle):
                await self._circles.rotate(tx, circle)

    async def _admit(self, circle_id: bytes) -> None:
        """Whoever accepted while our clock was in doubt."""
        async with self._circles.change() as tx:
            await self._admission.admit(tx, self._circles.find(circle_id))

    def _is_due(self, circle: Circle) -> bool:
        """Weekly, or because somebody went out while nothing could be issued."""
        history, own = circle.history, self._circles.own
        late = history.may_issue(own) and bool(history.reissues(own))
        return circle.row.state == "active" and (late or history.rotation_due(own, minute_of(self._clock())))
