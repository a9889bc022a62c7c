"""What one peer is offered, frame by frame: the critical lane first at every frame, as far as credit goes (DESIGN §6).

Fed from the log after the peer's cursor. What the cursor went past is offered again where it must be: our own envelopes
without an answer, what repair found, what was announced and is asked for, and what the peer had no room for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

from almenara.protocol.flow import LANES, MAX_TOLD, ROUTINE, cost, parts_of
from almenara.protocol.limits import SMALL
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from almenara.crypto.identity import NodeId
    from almenara.node.deliveries import Deliveries
    from almenara.node.fanout import Fanout
    from almenara.node.inflow import Inflow
    from almenara.node.repair import SessionRepair
    from almenara.node.storage.engine import Store
    from almenara.node.storage.rows import LoggedRow
    from almenara.protocol.session import Acked, Session

READ = (64, 32)  # rows read at a time, by lane: at most 256 KiB of alerts in memory for each session
ASKED_READ = 16  # rows that were asked for, read at a time
BUSY_SECONDS = 3_600.0  # until what a peer had no room for is offered again; its day may be over then
MAX_IN_FLIGHT = 2_048  # positions without an answer: credit and announcements allow 1,664 of one who answers
TAG = slice(4, 20)  # of an envelope's outer bytes


@dataclass(frozen=True, slots=True)
class Flight:
    """A position that was pushed, or only announced, and has no answer yet."""

    envelope_id: bytes
    pushed_at: float | None  # loop time


class Outflow:
    """The sending side of one session. `begin` starts it; then `next` gives frame after frame."""

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        fanout: Fanout,
        inflow: Inflow,
        session: Session,
        peer: NodeId,
        wake: Callable[[], None],
    ) -> None:
        self._store, self._deliveries, self._fanout, self._inflow = store, deliveries, fanout, inflow
        self._session, self._peer, self._wake = session, peer, wake
        self._begun = False
        self._head = 0  # of our log when the session began: below it a peer is behind, and pushed whatever it lacks
        self._read = [0] * LANES  # last position read from the log
        self._dry = [False] * LANES  # whether the log was read to its end
        self._rows: tuple[deque[LoggedRow], ...] = (deque(), deque())
        self._forced: tuple[deque[LoggedRow], ...] = (deque(), deque())  # to be pushed whatever fan-out says
        self._asked: deque[bytes] = deque()
        self._parts: deque[tuple[int, int, bytes]] = deque()  # of the one routine envelope that is under way in parts
        self._in_flight: dict[tuple[int, int], Flight] = {}
        self._held_there: dict[tuple[int, int], bytes] = {}  # the peer keeps it, but could not open it yet
        self.repair: SessionRepair | None = None  # what it found is pushed when nothing else is to be said
        self._busy: dict[int, int] = {}  # lane -> lowest position that the peer had no room for
        self._timer: asyncio.TimerHandle | None = None
        self.srtt = 0.0  # seconds from a push to its answer, smoothed; 0 before the first

    # what changes

    def begin(self, told: Mapping[int, int], head: int, again: Sequence[bytes]) -> None:
        """Both sides have told their cursors: go on from there, or where there is none from the end of our log.

        `again` are owed whatever a comparison finds: what the peer never answered, and keys for it.
        """
        self._read = [told.get(lane, head) for lane in range(LANES)]
        self._head, self._begun = head, True
        if self.repair is not None:
            self.repair.push_again(again, dict(enumerate(self._read)))

    def close(self) -> None:
        """The session is over."""
        if self._timer is not None:
            self._timer.cancel()

    def grown(self) -> None:
        """The log has grown."""
        self._dry = [False] * LANES

    def rescoped(self) -> None:
        """Scopes are proven that were not before, or others no more: rows that were read may be out of scope now."""
        for lane, rows in enumerate(self._rows):
            if rows:
                self._read[lane] = rows[0].position - 1
                rows.clear()
        self.grown()

    def reached(self) -> tuple[dict[int, int], Collection[tuple[int, int]]]:
        """How far each lane was offered, and what is under way: the peer gets that without a repair."""
        return {lane: self._passed(lane) for lane in range(LANES)}, self._in_flight

    def offer(self, envelope_ids: Sequence[bytes]) -> None:
        """Push these, whatever fan-out says, unless they are under way."""
        self._asked.extend(envelope_ids)

    def wanted(self, places: Sequence[tuple[int, int]]) -> None:
        """The peer asks for what we announced."""
        self._asked.extend(flight.envelope_id for place in places if (flight := self._in_flight.get(place)) is not None)

    def acked(self, event: Acked) -> list[tuple[bytes, Outcome]]:
        """Take an answer in; returns what became of which envelope."""
        settled: list[tuple[bytes, Outcome]] = []
        for position, outcome in event.outcomes:
            place = (event.lane, position)
            flight = self._in_flight.pop(place, None)
            envelope_id = flight.envelope_id if flight else self._held_there.pop(place, None)
            if envelope_id is None:
                continue
            if flight is not None and flight.pushed_at is not None:
                self._measure(asyncio.get_running_loop().time() - flight.pushed_at)
            settled.append((envelope_id, outcome))
            if outcome is Outcome.BUSY:
                self._come_again(event.lane, position)
                continue
            self._inflow.see(envelope_id)
            if outcome is Outcome.HELD:
                self._held_there[place] = envelope_id
        return settled

    def _measure(self, seconds: float) -> None:
        self.srtt = seconds if not self.srtt else self.srtt + (seconds - self.srtt) / 8  # as TCP smooths it

    def _come_again(self, lane: int, position: int) -> None:
        self._busy[lane] = min(position, self._busy.get(lane, position))
        if self._timer is None:
            later = BUSY_SECONDS * SystemRandom().uniform(1, 1.5)
            self._timer = asyncio.get_running_loop().call_later(later, self._rewind)

    def _rewind(self) -> None:
        """Go back to what the peer had no room for; what it has, it knows by its id."""
        self._timer = None
        for lane, position in self._busy.items():
            self._rows[lane].clear()
            self._read[lane] = min(self._read[lane], position - 1)
        self._busy.clear()
        self.grown()
        self._wake()

    # what goes out

    async def next(self) -> bytes | None:
        """The next frame; None when there is nothing to say, or no credit to say it."""
        if not self._begun or self._session.ended or len(self._in_flight) >= MAX_IN_FLIGHT:
            return None
        while True:
            if self._asked:
                await self._fetch_asked()
            for lane in range(LANES):
                frame = await self._next_in(lane)
                if frame is not None:
                    return frame
            if self._asked and not any(self._forced):
                continue
            if any(self._forced) or any(self._rows) or not await self._go_back():
                return None

    async def _next_in(self, lane: int) -> bytes | None:
        if lane == ROUTINE and self._parts:
            return self._session.part(*self._parts.popleft())
        while self._forced[lane] and self._pushed(self._forced[lane][0]):
            self._forced[lane].popleft()
        if self._forced[lane]:
            return self._push_first(self._forced[lane])
        while self._rows[lane] or await self._read_on(lane):
            row = self._rows[lane][0]
            if self._skips(row):
                self._rows[lane].popleft()
            elif self._announces(row):
                return self._announce(lane)
            else:
                return self._push_first(self._rows[lane])
        return None

    def _push_first(self, rows: deque[LoggedRow]) -> bytes | None:
        row = rows[0]
        if self._session.credit(row.lane) < cost(row.data):
            return None
        return self._push(rows.popleft())

    async def _read_on(self, lane: int) -> bool:
        if self._dry[lane]:
            return False
        self._dry[lane] = True  # before the read, for the log may grow while it lasts
        after = self._read[lane]
        async with self._store.read() as tx:
            head = await tx.log.head()
            rows = await tx.log.after(
                lane, after, self._session.proven, self._peer.raw, exclude_source=self._peer.raw, limit=READ[lane]
            )
        if after != self._read[lane]:  # rewound meanwhile
            self._dry[lane] = False
            return await self._read_on(lane)
        self._rows[lane].extend(rows)
        if len(rows) == READ[lane]:
            self._dry[lane] = False
            self._read[lane] = rows[-1].position
        else:
            self._read[lane] = max(head, after)  # what is not for this peer, such as its own, is not looked at again
        return bool(rows)

    def _pushed(self, row: LoggedRow) -> bool:
        flight = self._in_flight.get((row.lane, row.position))
        return flight is not None and flight.pushed_at is not None

    def _skips(self, row: LoggedRow) -> bool:
        """Under way already, or the peer has it and we do not wait for its word."""
        if (row.lane, row.position) in self._in_flight:
            return True
        return self._inflow.knows(row.envelope_id) and not self._deliveries.awaits(row.envelope_id, self._peer)

    def _announces(self, row: LoggedRow) -> bool:
        if self._inflow.knows(row.envelope_id):
            return True
        if row.lane != ROUTINE or row.position <= self._head:
            return False
        return not self._fanout.pushes(row.envelope_id, row.data[TAG], self._peer)

    def _announce(self, lane: int) -> bytes | None:
        """Announce as many as come one after the other: what is above in the lane must not go before them."""
        rows, most = self._rows[lane], min(MAX_TOLD, self._session.room)
        told: list[LoggedRow] = []
        while rows and len(told) < most and not self._skips(rows[0]) and self._announces(rows[0]):
            told.append(rows.popleft())
        for row in told:
            self._in_flight[lane, row.position] = Flight(row.envelope_id, None)
        return self._session.have([(lane, row.position, row.envelope_id) for row in told]) if told else None

    def _push(self, row: LoggedRow) -> bytes:
        self._in_flight[row.lane, row.position] = Flight(row.envelope_id, asyncio.get_running_loop().time())
        self._deliveries.sent(self._peer, [row.envelope_id])
        if row.lane != ROUTINE or len(row.data) <= SMALL:
            return self._session.push(row.lane, row.position, row.data)
        pieces = parts_of(row.data)
        self._parts.extend((row.position, len(pieces) - number, piece) for number, piece in enumerate(pieces, 1))
        return self._session.part(*self._parts.popleft())

    # what was gone by

    async def _fetch_asked(self) -> None:
        """Load what was asked for or never answered, a few at a time, so that little of it stays in memory."""
        if any(self._forced):
            return
        ids = [self._asked.popleft() for _ in range(min(ASKED_READ, len(self._asked)))]
        async with self._store.read() as tx:
            rows = await tx.log.of_ids(ids)
        self._force(rows)

    async def _go_back(self) -> bool:
        """What repair found, a page at a time; whether there was anything to look at."""
        found = await self.repair.next_ids(READ[ROUTINE]) if self.repair is not None else []
        if not found:
            return False
        async with self._store.read() as tx:
            rows = await tx.log.of_ids(found)
        order = {envelope_id: place for place, envelope_id in enumerate(found)}
        self._force([row for row in sorted(rows, key=lambda row: order[row.envelope_id]) if not self._skips(row)])
        return True

    def _force(self, rows: Sequence[LoggedRow]) -> None:
        for row in rows:
            passed = row.position <= self._passed(row.lane)
            if passed and not self._pushed(row):
                self._forced[row.lane].append(row)

    def _passed(self, lane: int) -> int:
        """Up to here the lane was offered; what lies above will be in its turn."""
        return self._rows[lane][0].position - 1 if self._rows[lane] else self._read[lane]
