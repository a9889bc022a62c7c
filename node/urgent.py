"""Critical alerts of our own that a recipient did not acknowledge in time: shown in red, given to others (DESIGN §6).

Every live peer in scope is pushed a critical alert at once, and passes it on. What is added here is for those that were
not reached: up to two peers hold it besides, pushed again if need be, as soon as there are such peers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.clock import SECOND_MS

if TYPE_CHECKING:
    from almenara.node.clock import Clock
    from almenara.node.deliveries import Deliveries
    from almenara.node.events import Events
    from almenara.node.exchange import Exchange
    from almenara.node.links import Links
    from almenara.node.storage.engine import Store

CRITICAL = 0
MIN_RTO_SECONDS = 1.0  # as TCP has it: below, an ordinary commit there would count as a time-out
TIMEOUTS = 2  # that pass before it counts as not acknowledged
HELPERS = 2  # peers that are to hold it besides the author
LOOK_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(slots=True)
class Sent:
    """A critical alert under way."""

    tag: bytes
    at: int  # ms, when it came into our log
    until: int  # ms, when the alert expires: after that nobody needs it any more
    late: set[bytes] = field(default_factory=set)
    offered: set[Exchange] = field(default_factory=set)


class Urgent:
    """Watches critical deliveries from the moment they are written until everybody has answered."""

    def __init__(self, store: Store, links: Links, deliveries: Deliveries, clock: Clock, events: Events) -> None:
        self._store, self._links, self._deliveries = store, links, deliveries
        self._clock, self._events = clock, events
        self._new: list[bytes] = []
        self._sent: dict[bytes, Sent] = {}
        self._some = asyncio.Event()

    def watch(self, envelope_id: bytes) -> None:
        """An alert of ours is about to be committed, or was found open at the start."""
        self._new.append(envelope_id)
        self._some.set()

    def late(self) -> set[NodeId]:
        """Who has not acknowledged a critical alert in time."""
        return {NodeId(node) for sent in self._sent.values() for node in sent.late}

    def is_late(self, envelope_id: bytes, node: bytes) -> bool:
        """Whether this recipient has not acknowledged this one in time."""
        sent = self._sent.get(envelope_id)
        return sent is not None and node in sent.late

    def waits_for(self, node: bytes) -> bool:
        """Whether a critical alert of ours is under way to this node."""
        return any(node in self._deliveries.waiting(found) for found in self._sent)

    async def run(self) -> None:
        """For ever, while something critical is under way."""
        while True:
            await self._some.wait()
            try:
                await self._take_new()
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look must still come
                log.error("urgent-failed", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
            if not self._sent and not self._new:
                self._some.clear()
            await asyncio.sleep(LOOK_SECONDS)

    async def _take_new(self) -> None:
        """Keep those that are critical; one that is not in the log was never committed."""
        while self._new:
            async with self._store.read() as tx:
                row = await tx.log.get(self._new[0])
                deliveries = await tx.deliveries.by_envelopes([self._new[0]])
                alerts = await tx.alerts.get(deliveries[0].alert_id) if deliveries else []
            found = self._new.pop(0)
            if row is None or row.lane != CRITICAL or not alerts:
                continue
            self._sent[found] = Sent(row.tag, row.received_at, max(alert.expires_at for alert in alerts))
            for node in self._deliveries.waiting(found):
                self._links.hurry(node)

    def look(self) -> None:
        """Who is late now; and see to it that others hold what is late."""
        before, now = self.late(), self._clock()
        for found, sent in list(self._sent.items()):
            waiting = self._deliveries.waiting(found)
            if not waiting or now >= sent.until:
                del self._sent[found]
                continue
            sent.late = {node for node in waiting if now - sent.at > TIMEOUTS * self._rto(node) * SECOND_MS}
            if sent.late:
                self._give_to_others(found, sent)
        if self.late() != before:
            log.info("critical-alerts-late", count=len(self.late()))
            self._events.publish("status")

    def _rto(self, node: bytes) -> float:
        exchange = self._links.of(node)
        return max(MIN_RTO_SECONDS, 4 * exchange.srtt if exchange is not None else 0)

    def _give_to_others(self, found: bytes, sent: Sent) -> None:
        """Peers that have it pass it on already; push to as many more as are missing."""
        others = [each for each in self._links if each.peer.raw not in sent.late and each.proves(sent.tag)]
        sent.offered &= set(others)
        missing = HELPERS - sum(each.knows(found) or each in sent.offered for each in others)
        for each in others:
            if missing > 0 and not each.knows(found) and each not in sent.offered:
                each.offer([found])
                sent.offered.add(each)
                missing -= 1
