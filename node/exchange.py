"""One live session with one peer: the protocol on a link, fed from the log, acknowledged after commit (DESIGN §6)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import structlog

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.clock import Clock, minute_of
from almenara.node.transport.errors import TransportError
from almenara.protocol import session as wire
from almenara.protocol.errors import RemoteError
from almenara.protocol.messages import MAX_PROOFS
from almenara.protocol.scope import ScopeKey
from almenara.protocol.session import DECOY_BYTES, ByeCode, Outcome, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from almenara.node.deliveries import Deliveries
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Store
    from almenara.node.storage.rows import LoggedRow
    from almenara.node.transport.link import Link

WINDOW = 512  # pushes under way without acknowledgement: while half of them are committed, the other half arrives
CRITICAL_BATCH, ROUTINE_BATCH = 64, 32  # rows read at a time; small, so that a critical one never waits behind many
LANES = (0, 1)
RETRY_SECONDS = 60  # what we ask of a peer that broke a rule, or for which our disk has no room now

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One envelope as it came, and where the answer goes."""

    exchange: Exchange
    lane: int
    position: int
    envelope: bytes


class Intake(Protocol):
    """Where envelopes go; waits while it is full, so that the link pushes back."""

    async def submit(self, arrival: Arrival) -> None:
        """Answer later through `Arrival.exchange.acknowledge`."""


class KeyDesk(Protocol):
    """What a session asks and answers about circles (PROTOCOL §5.8)."""

    def questions(self, peer: NodeId) -> list[tuple[bytes, bytes]]:
        """Which (circle, newest statement held or empty) to ask this peer for."""

    async def answer(self, peer: NodeId, circle_id: bytes, held: bytes) -> wire.KeysTold | None:
        """What this peer may have; none when it may have nothing."""

    async def take(self, peer: NodeId, told: wire.KeysTold) -> None:
        """Take what a peer answered; what does not verify is put aside."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of the node that every session works with."""

    own: NodeId
    store: Store
    keyring: Keyring
    clock: Clock
    intake: Intake
    keys: KeyDesk
    deliveries: Deliveries
    log_epoch: bytes


class Exchange:
    """Runs one session until the link ends. `ready` is set once pushes may flow."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self.peer, self.inbound = NodeId(link.peer), link.inbound
        self.peer_epoch = b""
        self.clock_difference_min = 0
        self.stay_away = 0  # seconds that whoever hung up asked for before the next session
        self._desk, self._link = desk, link
        self._session = Session(desk.own, self.peer, random_bytes(32), desk.log_epoch)
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._told: dict[int, int] = {}  # lane -> what the peer says it has of our log
        self._sent: dict[int, int] = {}  # lane -> last position pushed
        self._resend: list[bytes] = []  # our own envelopes the peer was sent but never said it stored
        self._fresh: set[bytes] = set()  # tags proven since the pump last looked
        self._backfill: list[tuple[bytes, int]] = []  # (tag, position reached): scopes proven after the pump went by
        self._in_flight: dict[tuple[int, int], bytes] = {}
        self._held_there: dict[tuple[int, int], bytes] = {}  # the peer keeps it, but could not open it yet
        self._cursors: dict[int, int] = {}  # lane -> what we have of the peer's log
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until the link closes; a peer that breaks the protocol is hung up on, with the rule in the log."""
        tasks = [asyncio.create_task(self._guarded(work)) for work in (self._write, self._pump)]
        try:
            await self._link.send(self._session.hello(self._now_min()))
            async for frame in self._link:
                for event in self._session.receive(frame, self._now_min()):
                    await self._on(event)
        except RemoteError as error:
            log.warning("session-refused", peer=self.peer.short, defect=str(error.kind), field=error.field)
            await self._say_bye(ByeCode.BROKEN_RULE)
        except TransportError:
            raise
        except Exception:
            await self._say_bye(ByeCode.BUSY)  # whatever failed here would fail again if they called at once
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._link.close()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """A writer or a pump that fails ends the session: the next one begins where this one got to."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it was, a session that is half dead must not stay
            if not isinstance(error, TransportError):
                await self._say_bye(ByeCode.BUSY)
                log.error("session-failed", peer=self.peer.short, error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
            await self._link.close()

    async def close(self) -> None:
        """Hang up; `run` then returns."""
        await self._link.close()

    async def rest(self) -> None:
        """Hang up because we cannot store now; neither side calls again for a while, since all would be sent anew."""
        await self._say_bye(ByeCode.BUSY)
        await self._link.close()

    async def _say_bye(self, code: ByeCode) -> None:
        self.stay_away = RETRY_SECONDS
        with contextlib.suppress(Exception):
            await self._link.send(self._session.bye(code, RETRY_SECONDS))

    def _now_min(self) -> int:
        return minute_of(self._desk.clock())

    # what comes in

    async def _on(self, event: wire.Event) -> None:
        match event:
            case wire.Greeted():
                await self._on_greeting(event)
            case wire.CursorsTold():
                self._on_cursors(event)
                await self._begin()
            case wire.ScopesProven():
                self._on_scopes(event.fresh)
            case wire.Pushed():
                await self._desk.intake.submit(Arrival(self, event.lane, event.position, event.envelope))
            case wire.Acked():
                await self._on_ack(event)
            case wire.KeysAsked():
                await self._on_question(event)
            case wire.KeysTold():
                await self._desk.keys.take(self.peer, event)
            case wire.Left():
                self.stay_away = event.retry_after
                await self._link.close()

    async def _on_greeting(self, event: wire.Greeted) -> None:
        self.peer_epoch = event.peer_epoch
        self.clock_difference_min = event.ahead_min
        async with self._desk.store.read() as tx:
            known = await tx.log.incoming(self.peer.raw)
        self._cursors = {lane: position for lane, (epoch, position) in known.items() if epoch == self.peer_epoch}
        self.prove()
        told = {lane: (self.peer_epoch, self._cursors.get(lane, 0)) for lane in LANES}
        self._say(self._session.cursors(told))

    def _on_cursors(self, event: wire.CursorsTold) -> None:
        for lane in LANES:
            epoch, position = event.cursors.get(lane, (b"", 0))
            self._told[lane] = position if epoch == self._desk.log_epoch else 0

    async def _begin(self) -> None:
        """Both sides have greeted: push what the peer lacks, and what it never acknowledged."""
        self._sent = dict(self._told)
        async with self._desk.store.read() as tx:
            self._resend = await tx.deliveries.unsettled(self.peer.raw)
        self.ready.set()
        self._wake.set()
        self.ask()

    def _on_scopes(self, fresh: frozenset[bytes]) -> None:
        """Tags proven for the first time: what lies before the cursor was never offered, so the pump offers it now."""
        self._fresh |= fresh
        self._wake.set()
        if self.ready.is_set():
            self.ask()

    async def _on_ack(self, event: wire.Acked) -> None:
        settled: list[tuple[bytes, Outcome]] = []
        for position, outcome in event.outcomes:
            place = (event.lane, position)
            envelope_id = self._in_flight.pop(place, None) or self._held_there.pop(place, None)
            if envelope_id is None:
                continue
            settled.append((envelope_id, outcome))
            if outcome is Outcome.HELD:
                self._held_there[place] = envelope_id
        self._room.set()
        await self._desk.deliveries.acknowledged(self.peer, settled)

    async def _on_question(self, event: wire.KeysAsked) -> None:
        """Answered before the next frame is read, so that who asks without listening fills its own line only."""
        answer = await self._desk.keys.answer(self.peer, event.circle, event.statement)
        if answer is not None and not self._session.ended:
            for frame in self._session.keys(answer.circle, answer.statements, answer.introductions, answer.packet):
                await self._link.send(frame)

    # what goes out

    def _say(self, frame: bytes) -> None:
        self._frames.put_nowait(frame)

    async def _write(self) -> None:
        while True:
            await self._link.send(await self._frames.get())

    def prove(self) -> None:
        """Tell the peer which scopes we are in, now that they may have changed."""
        if not self.peer_epoch or self._session.ended:
            return
        scopes = self._desk.keyring.scopes(self._now_min() // 60)
        self._session.set_scopes(ScopeKey(tag, key) for tag, key in islice(scopes.items(), MAX_PROOFS))
        before = self._session.proven
        self._say(self._session.interest(random_bytes(DECOY_BYTES)))
        self._fresh |= self._session.proven - before
        self._wake.set()

    def ask(self) -> None:
        """Ask for the keys and statements that this peer may have and we lack."""
        if not self.ready.is_set() or self._session.ended:
            return
        for circle_id, held in self._desk.keys.questions(self.peer):
            self._say(self._session.keyreq(circle_id, held))

    def wake(self) -> None:
        """The log has grown."""
        self._wake.set()

    def acknowledge(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        """What became of pushed positions, after the commit; nobody listens any more after BYE."""
        if self._session.ended:
            return
        cursor = max([self._cursors.get(lane, 0), *(position for position, _ in outcomes)])
        self._cursors[lane] = cursor
        self._say(self._session.ack(lane, cursor, outcomes))

    async def _pump(self) -> None:
        await self.ready.wait()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._push_critical() or await self._push_routine() or await self._push_backfill():
                pass

    async def _push_critical(self) -> bool:
        return await self._push_lane(0, CRITICAL_BATCH)

    async def _push_routine(self) -> bool:
        return await self._push_lane(1, ROUTINE_BATCH)

    async def _push_lane(self, lane: int, limit: int) -> bool:
        async with self._desk.store.read() as tx:
            head = await tx.log.head()
            rows = await tx.log.after(
                lane, self._sent[lane], self._session.proven, self.peer.raw, exclude_source=self.peer.raw, limit=limit
            )
        for row in rows:
            await self._push(lane, row.position, row.envelope_id, row.data)
            self._sent[lane] = row.position
        self._desk.deliveries.sent(self.peer, [row.envelope_id for row in rows])
        if len(rows) < limit:
            self._sent[lane] = head  # what is not for this peer, such as its own, is not looked at again
        return bool(rows)

    async def _push(self, lane: int, position: int, envelope_id: bytes, data: bytes) -> None:
        while len(self._in_flight) >= WINDOW:
            self._room.clear()
            await self._room.wait()
        self._in_flight[lane, position] = envelope_id
        await self._link.send(self._session.push(lane, position, data))

    async def _push_backfill(self) -> bool:
        """What the pump had gone by: first our own unanswered envelopes, then scopes proven late, a page at a time."""
        if self._resend:
            async with self._desk.store.read() as tx:
                rows = await tx.log.of_ids([self._resend.pop(0)])
            return await self._push_again(rows)
        await self._note_fresh()
        if not self._backfill:
            return False
        tag, after = self._backfill.pop(0)
        async with self._desk.store.read() as tx:
            rows = await tx.log.of_tag(tag, after=after, limit=ROUTINE_BATCH)
        if rows:
            self._backfill.insert(0, (tag, rows[-1].position))
            return await self._push_again(rows)
        async with self._desk.store.write() as tx:
            await tx.log.put_peer_scopes(self.peer.raw, [tag])
        return True

    async def _note_fresh(self) -> None:
        if self._fresh:
            fresh, self._fresh = self._fresh, set()
            async with self._desk.store.read() as tx:
                known = await tx.log.peer_scopes(self.peer.raw)
            self._backfill.extend((tag, 0) for tag in sorted(fresh - known))

    async def _push_again(self, rows: list[LoggedRow]) -> bool:
        pushed: list[bytes] = []
        for row in rows:
            passed = row.position <= self._sent[row.lane]
            if passed and row.source != self.peer.raw and (row.lane, row.position) not in self._in_flight:
                await self._push(row.lane, row.position, row.envelope_id, row.data)
                pushed.append(row.envelope_id)
        self._desk.deliveries.sent(self.peer, pushed)
        return True


def wake_all(exchanges: Iterable[Exchange]) -> None:
    """The log has grown: every live peer looks whether it lacks something."""
    for exchange in exchanges:
        exchange.wake()
