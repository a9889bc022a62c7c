"""How far our own alerts have come, recipient by recipient (SCHEMAS §4): queued, sent, stored, carried, failed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from almenara.node.storage.rows import DeliveryRow, HolderRow
from almenara.node.words import N_
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from almenara.crypto.identity import NodeId
    from almenara.node.clock import Clock
    from almenara.node.events import Events
    from almenara.node.storage.engine import Store, Transaction

WAITING_FOR_KEY = N_("They have the alert but not yet the key to open it.")
REFUSED_THERE = N_("Their node refused it.")
CARRIED_BLIND = N_("A carrier that cannot read it holds it for them.")
BUSY_THERE = N_("Their node takes no more from us today; it is offered again by itself.")
CARRIED = N_("You are not paired with them; another member of the circle holds it for them.")
RETURNED = N_("This came back from another member after a restore; whether they have it is not known yet.")

Settled = tuple[bytes, bytes]
"""Envelope and recipient."""

ANSWER_SECONDS = 0.2  # most answers come sooner, and then say all there is to say
RETRY_SECONDS = 10.0  # after a disk that failed

log = structlog.get_logger()


class Deliveries:
    """Watches the envelopes of our own alerts; everything else passes by without touching the database."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store, self._clock, self._events = store, clock, events
        self._open: dict[bytes, dict[bytes, str]] = defaultdict(dict)  # envelope -> recipient -> state, until stored
        self._unwritten: dict[tuple[bytes, bytes], int] = {}  # (envelope, recipient) -> when it went out
        self._due = asyncio.Event()
        self.on_watch: Callable[[bytes], None] = lambda _: None

    async def load(self) -> None:
        """Take up what a restart left open."""
        async with self._store.read() as tx:
            for row in await tx.deliveries.open():
                self._open[row.envelope_id][row.node_id] = row.state
        for envelope_id in self._open:
            self.on_watch(envelope_id)

    async def queue(self, tx: Transaction, alert_id: bytes, envelope_id: bytes, recipients: list[NodeId]) -> None:
        """A new alert of ours, in the transaction that appends it to the log."""
        rows = [DeliveryRow(alert_id, envelope_id, node.raw, "queued", None, None, "") for node in recipients]
        await tx.deliveries.insert(rows)

    def watch(self, envelope_id: bytes, recipients: list[NodeId]) -> None:
        """Last thing before that transaction's commit, for acknowledgements may follow it at once."""
        self._open[envelope_id] = {node.raw: "queued" for node in recipients}
        self.on_watch(envelope_id)

    def waiting(self, envelope_id: bytes) -> set[bytes]:
        """Recipients whose own word is still to come, or who refused; not those we can only reach through others."""
        return {node for node, state in self._open.get(envelope_id, {}).items() if state != "carried"}

    def awaits(self, envelope_id: bytes, peer: NodeId) -> bool:
        """Whether this recipient's own word that it has the envelope is still to come."""
        return peer.raw in self._open.get(envelope_id, {})

    def sent(self, peer: NodeId, envelope_ids: Collection[bytes]) -> None:
        """These went out on the peer's link; written down soon, mostly with the answer, for disks are slow."""
        for envelope_id in envelope_ids:
            if self._open.get(envelope_id, {}).get(peer.raw) in {"queued", "carried"}:
                self._open[envelope_id][peer.raw] = "sent"
                self._unwritten[envelope_id, peer.raw] = self._clock()
                self._due.set()

    async def run(self) -> None:
        """For ever: write down what went out and was not answered at once; a disk that fails is asked again later."""
        while True:
            await self._due.wait()
            await asyncio.sleep(ANSWER_SECONDS)
            self._due.clear()
            try:
                await self.flush()
            except (SQLAlchemyError, OSError) as error:
                log.error("deliveries-not-written", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
                self._due.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Write down everything that went out and that no answer has written down since."""
        if not self._unwritten:
            return
        async with self._store.write() as tx:
            written = dict(self._unwritten)  # taken in the writer's turn, so that an answer is either here or before
            for (envelope_id, node), at in written.items():
                state = self._open.get(envelope_id, {}).get(node, "sent")
                await tx.deliveries.set(envelope_id, node, state=state, sent_at=at)
        for key in written:
            self._unwritten.pop(key, None)
        for envelope_id, _ in written:
            self._events.publish("delivery", envelope_id.hex())

    async def acknowledged(self, peer: NodeId, outcomes: list[tuple[bytes, Outcome]]) -> None:
        """What a peer said after its commit; only *stored* ends the waiting."""
        watched = [(envelope_id, outcome) for envelope_id, outcome in outcomes if envelope_id in self._open]
        if not watched:
            return
        async with self._store.write() as tx:
            for envelope_id, outcome in watched:
                await self._record(tx, envelope_id, peer.raw, outcome)
        for envelope_id, _ in watched:
            self._events.publish("delivery", envelope_id.hex())

    async def _record(self, tx: Transaction, envelope_id: bytes, peer: bytes, outcome: Outcome) -> None:
        open_here = self._open[envelope_id]
        match outcome:
            case Outcome.STORED:
                if open_here.pop(peer, None) is not None:
                    now = self._clock()
                    went = {"sent_at": at} if (at := self._unwritten.pop((envelope_id, peer), None)) else {}
                    await tx.deliveries.set(envelope_id, peer, state="stored", stored_at=now, reason="", **went)
                for other in [node for node, state in open_here.items() if state == "queued"]:
                    await self._carry(tx, envelope_id, other)
                if not open_here:
                    del self._open[envelope_id]
            case Outcome.HELD if peer in open_here:
                await tx.deliveries.set(envelope_id, peer, state="sent", reason=WAITING_FOR_KEY)
            case Outcome.HELD:
                await self._held(tx, envelope_id, peer)
            case Outcome.REFUSED if peer in open_here:
                open_here[peer] = "failed"
                await tx.deliveries.set(envelope_id, peer, state="failed", reason=REFUSED_THERE)
            case Outcome.BUSY if peer in open_here:
                await tx.deliveries.set(envelope_id, peer, reason=BUSY_THERE)

    async def _held(self, tx: Transaction, envelope_id: bytes, carrier: bytes) -> None:
        """Somebody who is no recipient keeps it: never *stored*, but on its way to whoever was not reached yet."""
        if any(row.node_id == carrier for row in await tx.deliveries.by_envelopes([envelope_id])):
            return
        await tx.carrying.put_holder(HolderRow(envelope_id, carrier, self._clock()))
        open_here = self._open[envelope_id]
        for node in [node for node, state in open_here.items() if state == "queued"]:
            open_here[node] = "carried"
            await tx.deliveries.set(envelope_id, node, state="carried")

    async def receipted(self, tx: Transaction, node: bytes, alerts: Collection[bytes]) -> list[Settled]:
        """A member said by receipt that it holds these alerts of ours; `settle` follows the commit."""
        settled = []
        for row in await tx.deliveries.towards(node, alerts):
            await tx.deliveries.set(row.envelope_id, node, state="stored", stored_at=self._clock(), reason="")
            settled.append((row.envelope_id, node))
        return settled

    async def returned(
        self,
        tx: Transaction,
        alert_id: bytes,
        envelope_id: bytes,
        *,
        others: Collection[bytes],
        held: Collection[bytes],
    ) -> None:
        """An alert of ours came back from a peer, after we had lost it: who has it is asked again, or known already."""
        verified = {row.node_id for row in await tx.peers.all() if row.state == "verified"}
        now, rows = self._clock(), []
        for node in others:
            state = "stored" if node in held else "queued" if node in verified else "carried"
            reason = RETURNED if state == "carried" else ""
            rows.append(
                DeliveryRow(alert_id, envelope_id, node, state, None, now if state == "stored" else None, reason)
            )
        await tx.deliveries.insert(rows)
        self._open[envelope_id] = {row.node_id: row.state for row in rows if row.state != "stored"}

    async def repeated(self, tx: Transaction, alert_id: bytes, envelope_id: bytes, nodes: Collection[NodeId]) -> None:
        """An alert went into the log once more, for these recipients."""
        raw = [node.raw for node in nodes]
        for row in await tx.deliveries.of(alert_id):
            if row.node_id in raw:
                self._open.get(row.envelope_id, {}).pop(row.node_id, None)
        await tx.deliveries.repoint(alert_id, raw, envelope_id)
        self._open[envelope_id] = dict.fromkeys(raw, "queued")

    def settle(self, settled: Collection[Settled]) -> None:
        """After the commit: nobody waits for these any more."""
        for envelope_id, node in settled:
            self._open.get(envelope_id, {}).pop(node, None)
            self._unwritten.pop((envelope_id, node), None)
            self._events.publish("delivery", envelope_id.hex())

    async def _carry(self, tx: Transaction, envelope_id: bytes, recipient: bytes) -> None:
        """Somebody in the circle holds it for a member that we cannot reach ourselves."""
        peer = await tx.peers.get(recipient)
        if peer is None or peer.state != "verified":
            self._open[envelope_id][recipient] = "carried"
            await tx.deliveries.set(envelope_id, recipient, state="carried", reason=CARRIED)
