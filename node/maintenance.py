"""What a node does by the clock: expiry, key destruction, weekly keys and scopes (PROTOCOL §1, §4, §5.3, §5.7)."""

from __future__ import annotations

import asyncio
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog

from almenara.node.authoring import CRITICAL, ROUTINE, Author, Draft
from almenara.node.clock import HOUR_MS, MINUTE_MS, Clock, minute_of
from almenara.node.problem import Problem
from almenara.protocol.errors import ProtocolError
from almenara.protocol.object import ObjectType

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.ingest import Ingest
    from almenara.node.keyring import Keyring
    from almenara.node.links import Links
    from almenara.node.own_keys import News, OwnKeys
    from almenara.node.peers import Peers
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.transport.door import Door

EVERY_SECONDS = 600.0
JITTER = 0.2  # of EVERY_SECONDS, so that the nodes of a network do not act in step

log = structlog.get_logger()


class Maintenance:
    """One round every ten minutes; each part is small and safe to repeat."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        circles: Circles,
        keyring: Keyring,
        author: Author,
        own_keys: OwnKeys,
        peers: Peers,
        links: Links,
        ingest: Ingest,
        door: Door,
    ) -> None:
        self._store, self._clock, self._circles, self._keyring = store, clock, circles, keyring
        self._author, self._own_keys, self._peers, self._links = author, own_keys, peers, links
        self._ingest, self._door = ingest, door

    async def run(self) -> None:
        """For ever. A round that fails is logged, and the next one tries again."""
        rng = SystemRandom()
        while True:
            await asyncio.sleep(EVERY_SECONDS * (1 + rng.uniform(-JITTER, JITTER)))
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - the daemon goes on; the kind of fault is in the log
                log.error("maintenance-failed", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data

    async def round(self) -> None:
        """Everything that is due now."""
        if await self._clock_in_doubt():
            return
        await self._expire()
        await self._renew()
        await self._rotate()
        await self._peers.drop_unconfirmed()
        await self._ingest.reconsider()  # what came from the future may have become present
        self._links.prove()

    async def _clock_in_doubt(self) -> bool:
        """PROTOCOL §9: where our clock is an hour off the median of three or more peers, destroy nothing by date."""
        differences = sorted(abs(exchange.clock_difference_min) for exchange in self._links if exchange.ready.is_set())
        in_doubt = len(differences) >= 3 and differences[len(differences) // 2] * MINUTE_MS > HOUR_MS
        if in_doubt:
            log.warning("clock-in-doubt")
        return in_doubt

    async def _expire(self) -> None:
        now = self._clock()
        async with self._store.write() as tx:
            gone = await tx.alerts.expire(now) + await tx.log.delete_past_life(now)
            gone += await tx.keys.destroy_due(now) + await tx.prekeys.destroy_own(now)
            if gone:
                self._keyring.load(await tx.keys.all(), await tx.statements.all(), await tx.prekeys.own())
        if gone:
            await self._store.erase_checkpoint()

    async def _renew(self) -> None:
        async with self._circles.change() as tx:
            await self.renew(tx)

    async def renew(self, tx: Transaction) -> None:
        """Make card, profile and prekey current, and tell every circle what is new."""
        news = await self._own_keys.renew(tx, self._door.certificate)
        self._author.card_counter = self._own_keys.card_counter
        for circle in self._circles:
            if circle.row.state == "active":
                for item in news:
                    await self._tell(tx, circle.id, circle.current.max_tlp, item)

    async def _tell(self, tx: Transaction, circle_id: bytes, tlp: int, item: News) -> None:
        try:
            draft = Draft(
                circle_id=circle_id,
                statement_id=self._circles.sendable(self._circles.find(circle_id)),
                type=item.type,
                body=item.blob,
                tlp=tlp,
                expires_min=0,
                lane=CRITICAL if item.type is ObjectType.CARD else ROUTINE,
            )
            await self._author.post(tx, draft)
        except (Problem, ProtocolError) as error:
            log.info("not-announced", error=type(error).__name__)

    async def _rotate(self) -> None:
        now_min = minute_of(self._clock())
        for circle in self._circles:
            if circle.row.state == "active" and circle.history.rotation_due(self._circles.own, now_min):
                async with self._circles.change() as tx:
                    await self._circles.issue(tx, circle)
