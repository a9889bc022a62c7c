"""One live session with one peer: the protocol on a link, fed from the log, acknowledged after commit (DESIGN §6)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.carry_talk import CarryTalk
from almenara.node.clock import minute_of
from almenara.node.inflow import Inflow
from almenara.node.outflow import Outflow
from almenara.node.repair import SessionRepair
from almenara.node.transport.errors import TransportError
from almenara.node.wanting import Answered, Wants
from almenara.protocol import session as wire
from almenara.protocol.envelope import envelope_id
from almenara.protocol.errors import RemoteError
from almenara.protocol.flow import Announced, Granted, Wanted
from almenara.protocol.scope import ScopeKey
from almenara.protocol.session import DECOY_BYTES, ByeCode, Outcome, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from almenara.node.carriage import Carriage
    from almenara.node.carriers import Carriers
    from almenara.node.deliveries import Deliveries
    from almenara.node.fanout import Fanout
    from almenara.node.keyring import Keyring
    from almenara.node.log_epoch import LogEpoch
    from almenara.node.repair import Repairs
    from almenara.node.storage.engine import Store
    from almenara.node.timekeeper import Timekeeper
    from almenara.node.transport.link import Link

KEY_PACKETS = 0  # the lane they all travel in
RETRY_SECONDS = 60  # what we ask of a peer that broke a rule, or for which our disk has no room now

log = structlog.get_logger()


class Sender(Answered, Protocol):
    """Who brought an envelope."""

    def proves(self, tag: bytes) -> bool:
        """Whether it may fill what we keep for a peer that asked us to carry this scope."""

    async def rest(self) -> None:
        """The disk failed: send again later."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One envelope as it came, and where the answer goes."""

    exchange: Sender
    lane: int
    position: int
    envelope: bytes
    envelope_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "envelope_id", envelope_id(self.envelope))


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
    clock: Timekeeper
    intake: Intake
    keys: KeyDesk
    deliveries: Deliveries
    carriers: Carriers
    carriage: Carriage
    wants: Wants
    fanout: Fanout
    log_epoch: LogEpoch
    repairs: Repairs


class Exchange:
    """Runs one session until the link ends. `ready` is set once pushes may flow."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self.peer, self.inbound = NodeId(link.peer), link.inbound
        self.peer_epoch = b""
        self.greeted = False
        self._ahead_min = self._offset_then = 0  # what the peer told of its clock, and how ours stood then
        self._desk, self._link = desk, link
        self._log_epoch = desk.log_epoch.value
        self._session = Session(desk.own, self.peer, random_bytes(32), self._log_epoch)
        self._decoys = random_bytes(DECOY_BYTES)  # the same in each INTEREST: fresh ones would be known by their going
        self._carry = CarryTalk(desk.carriers, desk.carriage, self._session, self.peer, self._say)
        self._inflow = Inflow(self._grant)
        self._outflow = Outflow(
            desk.store, desk.deliveries, desk.fanout, self._inflow, self._session, self.peer, self._stir
        )
        self._control: deque[bytes] = deque()  # answers and questions, before any envelope
        self._stirred = asyncio.Event()
        self.repair: SessionRepair | None = None  # from the peer's greeting on
        self._proven: frozenset[bytes] = frozenset()  # tags proven when we last looked
        self._cursors: dict[int, int] = {}  # lane -> what we have of the peer's log
        self.retry_after = 0  # seconds that whoever hung up asked for before the next session
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until the link closes; a peer that breaks the protocol is hung up on, with the rule in the log."""
        works = (self._write, self._repair, lambda: self._carry.run(self.ready))
        tasks = [asyncio.create_task(self._guarded(work)) for work in works]
        try:
            await self._link.send(self._session.hello(self._computer_min()))
            async for frame in self._link:
                for event in self._session.receive(frame, self._computer_min()):
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
            self._inflow.close()
            self._outflow.close()
            self._desk.wants.left(self)
            await self._link.close()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """A writer that fails ends the session: the next one begins where this one got to."""
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
        self.retry_after = RETRY_SECONDS
        with contextlib.suppress(Exception):
            await self._link.send(self._session.bye(code, RETRY_SECONDS))

    def _now_min(self) -> int:
        return minute_of(self._desk.clock())

    def _computer_min(self) -> int:
        return minute_of(self._desk.clock.computer())

    @property
    def clock_difference_min(self) -> int:
        """How far the peer's clock is ahead of our computer's, however that was set since it told us."""
        return self._ahead_min - minute_of(self._desk.clock.offset() - self._offset_then)

    # what comes in

    async def _on(self, event: wire.Event) -> None:
        match event:
            case wire.Greeted():
                await self._on_greeting(event)
            case wire.CursorsTold():
                await self._begin(event)
            case wire.ScopesProven():
                self._on_scopes()
            case wire.Pushed():
                await self._on_push(event)
            case wire.Acked():
                settled = self._outflow.acked(event)
                self._stir()
                await self._desk.deliveries.acknowledged(self.peer, settled)
            case Announced() | Wanted() | Granted():
                await self._on_flow(event)
            case wire.KeysAsked() | wire.KeysTold():
                await self._on_keys(event)
            case wire.RootsTold() | wire.RangesTold() | wire.CarryAsked() | wire.CarryTold():
                await self._on_talk(event)
            case wire.Left():
                self.retry_after = event.retry_after
                await self._link.close()

    async def _on_push(self, event: wire.Pushed) -> None:
        arrival = Arrival(self, event.lane, event.position, event.envelope)
        self._inflow.see(arrival.envelope_id)
        self._inflow.took(event.lane, event.position, event.envelope)
        if self.repair is not None:
            self.repair.arrived()
        await self._desk.intake.submit(arrival)

    async def _on_talk(self, event: wire.RootsTold | wire.RangesTold | wire.CarryAsked | wire.CarryTold) -> None:
        """What has a conversation of its own beside the envelopes."""
        if isinstance(event, wire.CarryAsked | wire.CarryTold):
            self._carry.hear(event)
        elif self.repair is None:
            return  # only a peer that has greeted comes so far
        elif isinstance(event, wire.RootsTold):
            self.repair.on_roots(event.roots)
        else:
            await self.repair.on_ranges(event.ranges)

    async def _on_flow(self, event: Announced | Wanted | Granted) -> None:
        match event:
            case Announced():
                for _, _, found in event.places:
                    self._inflow.see(found)
                await self._desk.wants.announced(self, event.places)
            case Wanted():
                self._outflow.wanted(event.places)
        self._stir()

    async def _on_greeting(self, event: wire.Greeted) -> None:
        self.peer_epoch = event.peer_epoch
        self._ahead_min, self._offset_then, self.greeted = event.ahead_min, self._desk.clock.offset(), True
        async with self._desk.store.read() as tx:
            known = await tx.log.incoming(self.peer.raw)
        self._cursors = {lane: position for lane, (epoch, position) in known.items() if epoch == self.peer_epoch}
        self._desk.wants.begin(self, self._cursors)
        self.repair = self._outflow.repair = SessionRepair(
            self._desk.repairs, self.peer.raw, self._session, self._say, self._outflow.reached, self._stir
        )
        self.prove()
        self._say(
            self._session.cursors({lane: (self.peer_epoch, position) for lane, position in self._cursors.items()})
        )

    async def _begin(self, event: wire.CursorsTold) -> None:
        """Both sides have greeted: push what lies after the peer's cursors, and what it never acknowledged.

        Without a cursor of the log we have, the rest is left to repair, but for key packets: their tags may be random.
        """
        async with self._desk.store.read() as tx:
            head = await tx.log.head()
            told = {lane: at for lane, (epoch, at) in event.cursors.items() if epoch == self._log_epoch}
            reached = {lane: at for lane, at in told.items() if at <= head}
            again = await tx.deliveries.unsettled(self.peer.raw)
            if KEY_PACKETS not in reached:
                again += await tx.log.addressed(self.peer.raw)
        if len(reached) < len(told):
            await self._desk.log_epoch.renew()
        self._outflow.begin(reached, head, again)
        self.ready.set()
        self._stir()
        self.ask()

    def _on_scopes(self) -> None:
        """Tags proven now and not before: what lies before the cursor was never offered, so repair looks for it."""
        self._note_proven()
        if self.ready.is_set():
            self.ask()

    async def _on_keys(self, event: wire.KeysAsked | wire.KeysTold) -> None:
        """Answered before the next frame is read, so that who asks without listening fills its own line only."""
        if isinstance(event, wire.KeysTold):
            await self._desk.keys.take(self.peer, event)
            return
        answer = await self._desk.keys.answer(self.peer, event.circle, event.statement)
        if answer is not None and not self._session.ended:
            for frame in self._session.keys(answer.circle, answer.statements, answer.introductions, answer.packet):
                await self._link.send(frame)

    # what goes out

    def _say(self, frame: bytes) -> None:
        self._control.append(frame)
        self._stir()

    def _stir(self) -> None:
        """There may be something to send."""
        self._stirred.set()

    async def _write(self) -> None:
        """Answers first, then critical envelopes, then routine ones, chosen anew at every frame."""
        while True:
            frame = self._control.popleft() if self._control else await self._outflow.next()
            if frame is not None:
                await self._link.send(frame)
            else:
                await self._stirred.wait()
                self._stirred.clear()

    def prove(self) -> None:
        """Tell the peer which scopes we are in, now that they may have changed."""
        if not self.peer_epoch or self._session.ended:
            return
        scopes = self._desk.keyring.provable(self._now_min() // 60)
        self._session.set_scopes(ScopeKey(tag, key) for tag, key in scopes.items())
        self._say(self._session.interest(self._decoys))
        self._note_proven()

    def _note_proven(self) -> None:
        """A carrier may refuse and grant again: what came in between has to be found, too."""
        before, self._proven = self._proven, self._session.proven
        if self._proven - before and self.repair is not None:
            self.repair.scopes_proven()
        self._outflow.rescoped()
        self._stir()

    async def _repair(self) -> None:
        await self.ready.wait()
        if self.repair is not None:
            await self.repair.run()

    def ask(self) -> None:
        """Ask for the keys and statements that this peer may have and we lack, and to carry, if it is to."""
        self._carry.wake()
        if not self.ready.is_set() or self._session.ended:
            return
        for circle_id, held in self._desk.keys.questions(self.peer):
            self._say(self._session.keyreq(circle_id, held))

    def wake(self) -> None:
        """The log has grown."""
        self._outflow.grown()
        self._stir()
        self._carry.grown()

    def carry(self) -> None:
        """Whom we ask to carry, or what we grant, has changed."""
        self._carry.wake()

    def offer(self, envelope_ids: Sequence[bytes]) -> None:
        """Push these now, whatever fan-out says."""
        self._outflow.offer(envelope_ids)
        self._stir()

    def offers(self, envelope_id: bytes, tag: bytes) -> bool:
        """Whether the peer proved this scope and is not known to have the envelope."""
        return self.proves(tag) and not self.knows(envelope_id)

    def proves(self, tag: bytes) -> bool:
        """Whether the session is open and both sides proved this scope."""
        return self.ready.is_set() and tag in self._session.proven

    def knows(self, envelope_id: bytes) -> bool:
        """Whether the peer is known to have the envelope: it acknowledged, announced or pushed it."""
        return self._inflow.knows(envelope_id)

    @property
    def srtt(self) -> float:
        """Seconds from a push to its answer, smoothed; 0 before the first."""
        return self._outflow.srtt

    def acknowledge(self, lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        """What became of pushed positions, after the commit; nobody listens any more after BYE."""
        if self._session.ended:
            return
        frontier = self._desk.wants.frontier(self, lane)
        self._cursors[lane] = max(self._cursors.get(lane, 0), frontier.cursor)
        self._say(self._session.ack(lane, self._cursors[lane], outcomes))
        self._inflow.answered(lane, outcomes)

    def want(self, places: Sequence[tuple[int, int]]) -> None:
        """Ask for what the peer announced."""
        if not self._session.ended:
            self._say(self._session.want(places))

    def _grant(self, lane: int, amount: int) -> None:
        if not self._session.ended:
            self._say(self._session.grant(lane, amount))
