"""From socket to committed row: envelopes are opened, checked and take effect, a transaction per batch (DESIGN §6).

One bad envelope never stops the next: it is put in quarantine with its reason and the cursor moves on. Effects are
unique by (author, circle, incarnation, seq), and acknowledgements leave after the commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from almenara.crypto.identity import NodeId
from almenara.node.clock import MINUTE_MS, minute_of
from almenara.node.queueing import FairQueue
from almenara.node.quotas import Quotas
from almenara.node.storage.rows import AlertRow, EnvelopeRow, IdRow, QuarantineRow
from almenara.node.wanting import HELD, OPENED, OUTCOMES, REFUSED, Wants
from almenara.protocol.alert import parse_view
from almenara.protocol.envelope import Outer, Suite, is_past_life, open_circle, open_packet, parse_outer
from almenara.protocol.errors import Defect, LocalError, NewerVersion, ProtocolError, RemoteError
from almenara.protocol.flow import LANES, cost
from almenara.protocol.limits import MINUTES_PER_DAY
from almenara.protocol.object import (
    Header,
    ObjectType,
    SignedObject,
    check_against_envelope,
    check_size,
    parse_object,
    verify_object,
)
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.chainbook import Chainbook
    from almenara.node.circles import Circles
    from almenara.node.deliveries import Deliveries, Settled
    from almenara.node.events import Events
    from almenara.node.exchange import Arrival, Sender
    from almenara.node.keyring import Keyring
    from almenara.node.receipts import Receipts
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.timekeeper import Timekeeper
    from almenara.node.wanting import Answered

BATCH = 512  # envelopes per transaction: each touched page is encrypted once (measured: larger batches gain little)
QUEUE_BYTES = 4 * 1024 * 1024  # of one peer's envelopes waiting; credit keeps it below, beyond it the link pushes back
WATCHED = 1024  # held envelopes whose senders are told when they open; the others learn it at the next connection
HELD_POOL_BYTES = 16 * 1024 * 1024  # unknown key ids wait here, per scope (PROTOCOL §6)
TAG = slice(4, 20)  # of an envelope's outer bytes
CLOCK_SECONDS = 1.0  # scopes last weeks and quotas a day
EARLY_HOURS = 1  # clocks differ; further ahead than this, an envelope waits

BUSY = "busy"  # of an outcome only: nothing is kept

# What may be accepted another day: these ids are not remembered, so that a peer may offer the envelope again.
_NOT_FOR_GOOD = {Defect.UNKNOWN_KEY, Defect.TOO_LARGE, Defect.PAST_LIFE}

DISK_FAULTS = (OperationalError, InterfaceError, PoolTimeout, OSError)  # not the fault of what was being stored

log = structlog.get_logger()


class Undecided(Exception):  # noqa: N818 - a verdict, not a failure
    """The envelope cannot be judged yet: its key, its statement or its author's card is still to come."""


class OverQuota(Exception):  # noqa: N818 - a verdict, not a failure
    """Its author has written more than a day's worth: not now."""


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope and the peer that brought it."""

    envelope_id: bytes
    data: bytes
    source: NodeId


@dataclass(slots=True)
class Batch:
    """What one transaction is about to write."""

    now: int
    in_doubt: bool  # whether `now` may be wrong: then nothing is late, and nothing too early
    rows: list[EnvelopeRow] = field(default_factory=list)
    objects: list[tuple[SignedObject, bytes]] = field(default_factory=list)
    alerts: list[AlertRow] = field(default_factory=list)
    refused: list[QuarantineRow] = field(default_factory=list)
    refused_ids: list[IdRow] = field(default_factory=list)  # of those refused for good whose outer bytes can be read
    seen: dict[bytes, str] = field(default_factory=dict)
    late: list[bytes] = field(default_factory=list)  # held before, opened now
    settled: list[Settled] = field(default_factory=list)  # of our own alerts, by a receipt
    contradicted: bool = False
    returned: dict[bytes, Received] = field(default_factory=dict)  # alerts of our own, by id, that we had lost


class Pool(Protocol):
    """Where envelopes of circles that we are not in may stay, if a peer asked for it."""

    async def hold(
        self, tx: Transaction, outer: Outer, size: int, *, proven: bool, settle: Callable[[], Awaitable[None]]
    ) -> bool:
        """As `Carriage.hold`."""


class Ingest:
    """The one writer of received envelopes. `carriage` holds what we carry, once wired."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        circles: Circles,
        chainbook: Chainbook,
        receipts: Receipts,
        deliveries: Deliveries,
        clock: Timekeeper,
        events: Events,
    ) -> None:
        self._store, self._keyring, self._circles = store, keyring, circles
        self._chainbook, self._receipts, self._deliveries = chainbook, receipts, deliveries
        self._clock, self._events = clock, events
        self.wants = Wants(store)
        self.carriage: Pool | None = None
        self._quotas = Quotas(self._about_now)
        self._now, self._now_at = 0, float("-inf")
        self._over_quota: set[bytes] = set()
        self._queue: FairQueue[bytes, Arrival] = FairQueue(LANES)
        self._waiting: dict[bytes, list[tuple[Answered, int, int]]] = {}  # whom to tell when a held envelope opens

    async def submit(self, arrival: Arrival) -> None:
        """Queue one envelope, unless its peer has delivered enough; waits while too much of the same peer waits."""
        peer, tag = arrival.exchange.peer, arrival.envelope[TAG]
        ours = tag in self._keyring.scopes(minute_of(self._about_now()) // 60)
        ours = ours or (self.carriage is not None and self._keyring.carries(tag))
        # What is under no scope of ours shares one quota, or whoever makes tags up would have one for each. A file that
        # a person read in has none: only sessions have the epoch of a log.
        if arrival.exchange.peer_epoch and not self._quotas.admits(
            peer.raw, tag if ours else b"", arrival.lane, cost(arrival.envelope)
        ):
            if peer.raw not in self._over_quota:  # once, not for each envelope of a flood
                self._over_quota.add(peer.raw)
                log.warning("quota-reached", peer=peer.short, lane=arrival.lane)
            self._answer([arrival], [Outcome.BUSY])
            return
        self._over_quota.discard(peer.raw)
        self.wants.coming(arrival.envelope_id)
        await self._queue.put(arrival.lane, peer.raw, arrival, cost(arrival.envelope), QUEUE_BYTES)

    def _about_now(self) -> int:
        """Ms since 1970, a second old at most: it is asked for every envelope, and doubting the clock takes time."""
        at = asyncio.get_running_loop().time()
        if at - self._now_at >= CLOCK_SECONDS:
            self._now, self._now_at = self._clock(), at
        return self._now

    async def run(self) -> None:
        """For ever: take what has come, of every peer in turn, write it, answer."""
        while True:
            arrivals = await self._queue.take(BATCH)
            await self._take_safely(arrivals)
            self.wants.came(arrival.envelope_id for arrival in arrivals)

    async def _take_safely(self, arrivals: list[Arrival]) -> None:
        """A disk that fails ends the sessions, so that they send again; a fault of ours costs only its own envelope."""
        try:
            await self.take(arrivals)
        except DISK_FAULTS as error:
            await self._hang_up(arrivals, error)
        except Exception as error:  # noqa: BLE001 - the node must go on with the next envelope
            log.error("batch-failed", error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
            if len(arrivals) > 1:
                for arrival in arrivals:
                    await self._take_safely([arrival])
            else:
                await self._give_up_safely(arrivals[0])

    async def _give_up_safely(self, arrival: Arrival) -> None:
        """The same care where not even the refusal can be written down."""
        try:
            await self._give_up(arrival)
        except Exception as error:  # noqa: BLE001 - whoever sent it may send again
            await self._hang_up([arrival], error)

    @staticmethod
    async def _hang_up(arrivals: list[Arrival], error: Exception) -> None:
        log.error("batch-not-stored", error=type(error).__name__)
        for exchange in dict.fromkeys(arrival.exchange for arrival in arrivals):
            await exchange.rest()

    async def _give_up(self, arrival: Arrival) -> None:
        """Put aside what our own program could not deal with, and say so, so that everything after it still comes."""
        error = LocalError(Defect.MALFORMED, "internal")
        found, now = arrival.envelope_id, self._clock()
        async with self._store.write() as tx:
            size = len(arrival.envelope)
            await tx.quarantine.add([_quarantined(error, arrival.exchange.peer.raw, found, size, now)])
            await self._move_cursors(tx, [arrival])
        self._answer([arrival], [Outcome.REFUSED])
        self._settle({found: Outcome.REFUSED})

    def _batch(self) -> Batch:
        return Batch(self._clock(), self._clock.doubt() is not None)

    async def take(self, arrivals: list[Arrival]) -> None:
        """Write one batch and answer it. After a failed commit nothing was answered, so the peer sends again."""
        batch = self._batch()
        outcomes: list[Outcome] = []
        async with self._circles.change() as tx:
            ids = [arrival.envelope_id for arrival in arrivals]
            known = await tx.log.known(ids)
            batch.seen.update(dict.fromkeys(await tx.log.refused(ids), REFUSED))
            for found, arrival in zip(ids, arrivals, strict=True):
                state = known[found][1] if found in known else batch.seen.get(found)
                state = state or await self._receive(tx, batch, arrival, found)
                batch.seen[found] = state
                outcomes.append(OUTCOMES.get(state, Outcome.BUSY))
            await self._write(tx, batch)
            await self._reconsider(tx, batch)
            kept = [arrival for arrival, outcome in zip(arrivals, outcomes, strict=True) if outcome is not Outcome.BUSY]
            await self._move_cursors(tx, kept)
        self._answer(arrivals, outcomes)
        self._settle(dict(zip(ids, outcomes, strict=True)))
        self._tell(batch)

    def _settle(self, outcomes: dict[bytes, Outcome]) -> None:
        """Tell everybody who announced what has come now."""
        final = {found: outcome for found, outcome in outcomes.items() if outcome is not Outcome.BUSY}
        for found, exchange, lane, position in self.wants.arrived(final):
            if final[found] is Outcome.HELD:
                self._watch(found, exchange, lane, position)

    async def _receive(self, tx: Transaction, batch: Batch, arrival: Arrival, found: bytes) -> str:
        """Judge one new envelope; returns the state it is kept in."""
        source, data = arrival.exchange.peer, arrival.envelope
        outer = None
        try:
            outer = parse_outer(data)
            self._check_life(outer, batch)
            try:
                state = await self._judge(tx, batch, outer, Received(found, data, source))
            except (Undecided, NewerVersion):
                state = await self._hold(tx, batch, outer, arrival)
                if state == REFUSED:  # nobody broke a rule: the pool is full
                    return REFUSED
                self._watch(found, arrival.exchange, arrival.lane, arrival.position)
        except OverQuota:
            log.info("author-over-quota", peer=source.short)
            return BUSY
        except ProtocolError as error:
            batch.refused.append(_quarantined(error, source.raw, found, len(data), batch.now))
            if outer is not None and error.kind not in _NOT_FOR_GOOD:
                batch.refused_ids.append(IdRow(None, found, outer.tag, outer.cls, outer.created_hour))
            log.info("envelope-refused", peer=source.short, defect=str(error.kind), field=error.field)
            return REFUSED
        batch.rows.append(_envelope_row(outer, data, found, source.raw, state, batch.now))
        return state

    @staticmethod
    def _check_life(outer: Outer, batch: Batch) -> None:
        if is_past_life(outer, minute_of(batch.now)) and not batch.in_doubt:
            raise RemoteError(Defect.PAST_LIFE, "created_hour")

    async def _judge(self, tx: Transaction, batch: Batch, outer: Outer, received: Received) -> str:
        """Open it and let it take effect. Raises `RemoteError`, or `Undecided` when something else must come first."""
        if outer.created_hour > minute_of(batch.now) // 60 + EARLY_HOURS and not batch.in_doubt:
            raise Undecided
        if outer.suite is Suite.X_WING:
            return await self._judge_packet(tx, outer, received)
        held = self._keyring.open_with(outer.kid)
        if held is None:
            raise Undecided
        signed = parse_object(open_circle(received.data, held.key, outer))
        check_size(signed.header.type, len(received.data))
        if held.pending and signed.header.type is not ObjectType.STATEMENT:
            raise Undecided
        check_against_envelope(signed.header, outer, circle=held.circle_id, statement=held.statement_id, cls=held.cls)
        await self._accept(tx, batch, signed, received)
        return OPENED

    async def _judge_packet(self, tx: Transaction, outer: Outer, received: Received) -> str:
        secret = self._keyring.prekey(outer.kid)
        if secret is None:
            raise Undecided
        await self._circles.take_packet(tx, open_packet(received.data, self._circles.own, secret), received.source)
        return OPENED

    async def _accept(self, tx: Transaction, batch: Batch, signed: SignedObject, received: Received) -> None:
        """The checks of PROTOCOL §5.6 before any effect, then the effect."""
        header = signed.header
        if header.type is ObjectType.STATEMENT:
            await self._take_statement(tx, signed)
        else:
            await self._check_author(tx, signed, header.created_min if batch.in_doubt else minute_of(batch.now))
            await self._effect(tx, batch, signed, received)
        batch.objects.append((signed, received.envelope_id))

    async def _take_statement(self, tx: Transaction, signed: SignedObject) -> None:
        with _undecided_for(Defect.UNKNOWN_AUTHOR):  # its issuer's card comes through another member
            await self._circles.take_statement(tx, signed)

    async def _check_author(self, tx: Transaction, signed: SignedObject, now_min: int) -> None:
        """A statement or a card on its way may settle what is not known yet; somebody who is no member stays none."""
        with _undecided_for(Defect.WRONG_STATEMENT):
            self._circles.check_author(signed.header, signed.hash)
        if signed.header.type is ObjectType.CARD:  # proves itself, and is the very card that its own header names
            await self._circles.take_card(tx, signed.body)
        with _undecided_for(Defect.UNKNOWN_AUTHOR):
            public = self._circles.cards.sign_public(signed.header, now_min)
        verify_object(signed, public)
        if not self._quotas.writes(signed.header):  # after the signature: nobody can use up another's
            raise OverQuota

    async def _effect(self, tx: Transaction, batch: Batch, signed: SignedObject, received: Received) -> None:
        header = signed.header
        if header.type is ObjectType.ALERT:
            batch.alerts.append(self._alert_row(signed, batch.now))
            if header.author == self._circles.own.raw:
                batch.returned[header.ref_id] = received
        elif await self._already(tx, signed):
            return
        elif header.type is ObjectType.RECEIPT:
            batch.settled += await self._receipts.take(tx, signed)
        else:
            await self._circles.take_object(tx, signed, received.source)

    def _alert_row(self, signed: SignedObject, now: int) -> AlertRow:
        header, body = signed.header, signed.body
        self._check_tier(header, body)
        return AlertRow(
            position=None,
            alert_id=header.ref_id,
            author=header.author,
            circle_id=header.circle,
            statement_id=header.statement,
            revision=header.revision,
            type="Alert",
            tlp=header.tlp,
            state="current",
            created_at=header.created_min * MINUTE_MS,
            received_at=now,
            expires_at=self._end_of(header) * MINUTE_MS,
            body=body,
            body_sha256=sha256(body).digest(),
            own=header.author == self._circles.own.raw,  # a copy of our disk was restored, and a peer gives it back
            case_id=None,
            body_commit=header.body_commit,
        )

    def _end_of(self, header: Header) -> int:
        """No author can make an alert outlive its circle's retention (PROTOCOL §8)."""
        days = self._circles.find(header.circle).retention_days
        return min(header.expires_min, header.created_min + days * MINUTES_PER_DAY)

    def _check_tier(self, header: Header, body: bytes) -> None:
        """A view must be of its circle's tier; a schema newer than ours is kept without a look inside."""
        try:
            view = parse_view(body)
        except NewerVersion:
            return
        expected = self._circles.tier(header.circle)
        if view["tier"] != expected:
            raise RemoteError(Defect.NOT_ALLOWED, "tier", str(expected), str(view["tier"]))

    @staticmethod
    async def _already(tx: Transaction, signed: SignedObject) -> bool:
        """Whether this place in its author's chain is taken: another sealing of the same object does nothing."""
        header = signed.header
        return await tx.chains.taken(header.author, header.circle, header.incarnation, header.seq)

    async def _hold(self, tx: Transaction, batch: Batch, outer: Outer, arrival: Arrival) -> str:
        """Keep what cannot be opened yet, or not here, if its scope is one we prove now and its pool has room.

        A member can name the scope of any week to come, each with a pool of its own: those have to wait elsewhere.
        """
        size = len(arrival.envelope)
        if outer.tag not in self._keyring.scopes(minute_of(batch.now) // 60):
            return await self._carry(tx, batch, outer, arrival)
        if await tx.log.held_bytes(outer.tag) + size > HELD_POOL_BYTES:
            raise RemoteError(Defect.TOO_LARGE, "pool")
        return HELD

    async def _carry(self, tx: Transaction, batch: Batch, outer: Outer, arrival: Arrival) -> str:
        """The same for a scope that we are not in, if a peer asked for it: not opened ever, as far as we know."""
        if self.carriage is None or not self._keyring.carries(outer.tag):
            raise RemoteError(Defect.UNKNOWN_KEY, "kid")
        proven, size = arrival.exchange.proves(outer.tag), len(arrival.envelope)

        async def settle() -> None:
            await tx.log.append(batch.rows, known=())
            batch.rows.clear()

        return HELD if await self.carriage.hold(tx, outer, size, proven=proven, settle=settle) else REFUSED

    def _watch(self, found: bytes, exchange: Answered, lane: int, position: int) -> None:
        while len(self._waiting) >= WATCHED:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting.setdefault(found, []).append((exchange, lane, position))

    # the transaction's end, and after it

    async def _write(self, tx: Transaction, batch: Batch) -> None:
        await tx.log.append(batch.rows, known=())  # `take` has asked, and made no row of one that is there
        contradicted = await self._chainbook.keep(tx, batch.objects, batch.now)
        positions = await tx.alerts.insert(batch.alerts)
        placed = list(zip(batch.alerts, positions, strict=True))
        again = [row for row, position in placed if position is None]
        contradicted |= await self._chainbook.revise(tx, batch.objects, again, batch.now)
        batch.contradicted |= bool(contradicted)
        for author, alert_id in contradicted:
            await tx.alerts.mark_forked(author, alert_id)
        for row in [row for row, position in placed if row.own and position is not None]:
            await self._take_back(tx, row, batch.returned[row.alert_id])
        await self._receipts.owe(tx, [signed.header for signed, _ in batch.objects], batch.now)
        await tx.quarantine.add(batch.refused)
        await tx.log.refuse(batch.refused_ids)

    async def _take_back(self, tx: Transaction, row: AlertRow, received: Received) -> None:
        """An alert of ours that we had lost: the peer that brought it has it, and whoever said so by receipt."""
        statement = self._circles.find(row.circle_id).history.find(row.statement_id)
        others = [node.raw for node in statement.nodes if node != self._circles.own] if statement else []
        held = {received.source.raw} | await self._receipts.holders(tx, row)
        await self._deliveries.returned(tx, row.alert_id, received.envelope_id, others=others, held=held)

    async def _reconsider(self, tx: Transaction, batch: Batch) -> None:
        """A key, statement or card has come: look again at what waited for it."""
        while self._circles.take_news():
            await self._look_again(tx, batch)

    async def _look_again(self, tx: Transaction, batch: Batch) -> None:
        again = Batch(batch.now, batch.in_doubt)
        for row in await tx.log.held(self._keyring.kids()):
            try:
                received = Received(row.envelope_id, row.data, NodeId(row.source))
                await self._judge(tx, again, parse_outer(row.data), received)
            except (Undecided, NewerVersion):
                continue
            except ProtocolError as error:
                again.refused.append(_quarantined(error, row.source, row.envelope_id, len(row.data), batch.now))
                await tx.log.set_state([row.envelope_id], REFUSED)
                continue
            await tx.log.set_state([row.envelope_id], OPENED)
            batch.late.append(row.envelope_id)
        await self._write(tx, again)
        batch.alerts.extend(again.alerts)
        batch.settled.extend(again.settled)
        batch.contradicted |= again.contradicted

    async def reconsider(self) -> None:
        """The same, when the news came by another way than an envelope: by KEYS, or because an hour has come."""
        batch = self._batch()
        async with self._circles.change() as tx:
            await self._look_again(tx, batch)
            await self._reconsider(tx, batch)
        self._tell(batch)

    async def _move_cursors(self, tx: Transaction, arrivals: list[Arrival]) -> None:
        reached: dict[tuple[bytes, int], tuple[bytes, int]] = {}
        for arrival in arrivals:
            if not arrival.exchange.peer_epoch:
                continue
            frontier = self.wants.frontier(arrival.exchange, arrival.lane)
            frontier.settle([arrival.position])
            reached[arrival.exchange.peer.raw, arrival.lane] = (arrival.exchange.peer_epoch, frontier.cursor)
        for (peer, lane), (epoch, position) in reached.items():
            await tx.log.raise_incoming(peer, lane, epoch, position)

    def _answer(self, arrivals: list[Arrival], outcomes: list[Outcome]) -> None:
        answers: dict[tuple[int, int], tuple[Sender, list[tuple[int, Outcome]]]] = {}
        for arrival, outcome in zip(arrivals, outcomes, strict=True):
            if outcome is Outcome.BUSY and arrival.exchange.peer_epoch:
                self.wants.frontier(arrival.exchange, arrival.lane).wait(arrival.position)
            key = (id(arrival.exchange), arrival.lane)
            answers.setdefault(key, (arrival.exchange, []))[1].append((arrival.position, outcome))
        for (_, lane), (exchange, positions) in answers.items():
            exchange.acknowledge(lane, positions)

    def _tell(self, batch: Batch) -> None:
        for found in batch.late:
            for exchange, lane, position in self._waiting.pop(found, []):
                exchange.acknowledge(lane, [(position, Outcome.STORED)])
        for row in batch.alerts:
            self._events.publish("delivery" if row.own else "inbox", row.alert_id.hex())
        self._deliveries.settle(batch.settled)
        if batch.contradicted:
            self._events.publish("status")


class _undecided_for:  # noqa: N801 - read as a word after `with`; a generator here costs 3 us an alert
    """What may still come is no reason to refuse."""

    __slots__ = ("_defect",)

    def __init__(self, defect: Defect) -> None:
        self._defect = defect

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RemoteError) and error.kind is self._defect:
            raise Undecided from error


def _envelope_row(outer: Outer, envelope: bytes, found: bytes, source: bytes, state: str, now: int) -> EnvelopeRow:
    return EnvelopeRow(
        envelope_id=found,
        tag=outer.tag,
        created_hour=outer.created_hour,
        cls=outer.cls,
        lane=outer.lane,
        kid=outer.kid,
        suite=int(outer.suite),
        source=source,
        recipient=b"",
        data=envelope,
        state=state,
        received_at=now,
    )


def _quarantined(error: ProtocolError, source: bytes, found: bytes, size: int, now: int) -> QuarantineRow:
    return QuarantineRow(
        at=now,
        peer=source,
        reason=str(error.kind),
        field=error.field,
        expected=error.expected,
        got=error.got,
        envelope_id=found,
        size=size,
    )
