"""Light nodes: a real log, ingest, links and sessions over TLS on loopback, but no circles, no keys and no people.

They hold and hand on what they cannot open, as carriers do; a dozen of them start in a second.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from almenara.crypto.certificate import make_tls_identity
from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.node.chainbook import Chainbook
from almenara.node.clock import now_ms
from almenara.node.deliveries import Deliveries
from almenara.node.events import Events
from almenara.node.exchange import Desk
from almenara.node.fanout import Fanout
from almenara.node.ingest import Ingest
from almenara.node.links import Links
from almenara.node.log_epoch import LogEpoch
from almenara.node.receipts import Receipts
from almenara.node.repair import Repairs
from almenara.node.storage.engine import Store, open_store
from almenara.node.storage.rows import EnvelopeRow
from almenara.node.timekeeper import Timekeeper
from almenara.node.transport.door import Door
from almenara.node.transport.listener import Listener
from almenara.protocol.envelope import Outer, Suite, envelope_id, parse_outer
from almenara.protocol.limits import SMALL
from almenara.protocol.scope import scope, week_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from almenara.node.exchange import Exchange
    from almenara.node.storage.engine import Transaction

SECRET = bytes(range(32))
PASSWORD = b"a password from the vault"


def hour_now() -> int:
    """Hours since 1970."""
    return now_ms() // 3_600_000


def sealed(lane: int = 1, size: int = SMALL) -> bytes:
    """An envelope in the one scope of all beacons that none of them can open."""
    hour = hour_now()
    tag = scope(SECRET, week_of(hour)).tag
    outer = Outer(suite=Suite.CIRCLE, tag=tag, created_hour=hour, cls=1, lane=lane, kid=random_bytes(16))
    return outer.pack() + random_bytes(size - 48)


class Keys:
    """One scope, no keys."""

    def open_with(self, _kid: bytes) -> None:
        """Open nothing."""

    def kids(self) -> list[bytes]:
        """None."""
        return []

    def scopes(self, hour: int) -> dict[bytes, bytes]:
        """The scope of this week, and the one that may begin meanwhile."""
        found = [scope(SECRET, week) for week in (week_of(hour), week_of(hour) + 1)]
        return {each.tag: each.key for each in found}

    def provable(self, hour: int) -> dict[bytes, bytes]:
        """The same: they carry for nobody."""
        return self.scopes(hour)

    def questions(self, _peer: NodeId) -> list[tuple[bytes, bytes]]:
        """Ask nothing."""
        return []

    async def answer(self, *_: object) -> None:
        """Answer nothing."""

    async def take(self, *_: object) -> None:
        """Nobody answers."""


class NoCarrying:
    """Asks nobody to carry, and hears of nobody."""

    def wanted(self, _peer: NodeId) -> None:
        """What was said already."""


class Office:
    """Circles as far as ingest knows them: a transaction, and the links told after it."""

    def __init__(self, store: Store, grown: Callable[[], None]) -> None:
        self._store, self._grown = store, grown

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Transaction]:
        """As `Circles.change`."""
        async with self._store.write() as tx:
            yield tx
        self._grown()

    def take_news(self) -> bool:
        """Never."""
        return False


class Beacon:
    """One light node. `open` starts it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.id = NodeId(random_bytes(32))
        self._identity, self._folder, self._name = make_tls_identity(PASSWORD), folder, name
        pem = folder / f"{name}.pem"
        pem.write_bytes(self._identity.pem)
        self.door = Door(pem, lambda: PASSWORD)
        self.links = Links(self.id, self.door, Events())
        self.listener = Listener(self.door, on_link=self.links.run_link, on_pairing=_refuse)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Beacon:
        """Open the log, listen, work."""
        self.store = await open_store(self._folder / f"{self._name}.db", bytes(32), bytes(32), clock=now_ms)
        keys: Any = Keys()
        office: Any = Office(self.store, self.links.wake)
        nothing: Any = NoCarrying()
        clock = Timekeeper(now_ms)
        log_epoch = LogEpoch(self.store)
        async with self.store.write() as tx:
            await log_epoch.load(tx)
        self.deliveries = Deliveries(self.store, clock, Events())
        receipts = Receipts(office, nothing, self.deliveries, clock)
        self.ingest = Ingest(self.store, keys, office, Chainbook(office), receipts, self.deliveries, clock, Events())
        self.links.desk = Desk(
            own=self.id,
            store=self.store,
            keyring=keys,
            clock=clock,
            carriers=nothing,
            carriage=nothing,
            intake=self.ingest,
            keys=keys,
            deliveries=self.deliveries,
            wants=self.ingest.wants,
            fanout=Fanout(lambda: self.links),
            log_epoch=log_epoch,
            repairs=Repairs(self.store, clock),
        )
        self._tasks = [asyncio.create_task(work()) for work in (self.ingest.run, self.ingest.wants.run)]
        await self.listener.start("127.0.0.1", 0)
        return self

    async def close(self) -> None:
        """Hang up, stop, close the log."""
        await self.links.close()
        await self.listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    @property
    def certificate(self) -> bytes:
        """What others pin."""
        return self._identity.cert_der

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self.listener.port

    def expects(self, peer: bytes, certificate: bytes) -> None:
        """Let this peer in when it dials."""
        self.door.pin(peer, certificate)

    def dials(self, peer: bytes, certificate: bytes, port: int) -> None:
        """Stay connected to this peer."""
        self.links.keep(peer, certificate, (f"127.0.0.1:{port}",))

    def session(self, other: Beacon) -> Exchange:
        """The live session with another."""
        found = self.links.of(other.id.raw)
        assert found is not None
        return found

    async def post(self, *envelopes: bytes) -> None:
        """Put envelopes of its own into its log, in one commit, and wake the sessions."""
        rows = [self._row(envelope) for envelope in envelopes]
        async with self.store.write() as tx:
            await tx.log.append(rows)
        self.links.wake()

    def _row(self, envelope: bytes) -> EnvelopeRow:
        outer = parse_outer(envelope)
        return EnvelopeRow(
            envelope_id=envelope_id(envelope),
            tag=outer.tag,
            created_hour=outer.created_hour,
            cls=outer.cls,
            lane=outer.lane,
            kid=outer.kid,
            suite=int(outer.suite),
            source=self.id.raw,
            recipient=b"",
            data=envelope,
            state="own",
            received_at=now_ms(),
        )

    async def holds(self, *envelopes: bytes) -> bool:
        """Whether all of them are in its log."""
        async with self.store.read() as tx:
            return len(await tx.log.known([envelope_id(envelope) for envelope in envelopes])) == len(envelopes)


async def _refuse(_channel: object) -> None:
    """Nobody pairs."""


def connect(one: Beacon, other: Beacon) -> None:
    """The second dials the first."""
    one.expects(other.id.raw, other.certificate)
    other.dials(one.id.raw, one.certificate, one.port)


async def linked(one: Beacon, others: list[Beacon]) -> None:
    """Until every session may push, both ways."""
    async with asyncio.timeout(60):
        for other in others:
            while not (one.links.connected(other.id.raw) and other.links.connected(one.id.raw)):  # noqa: ASYNC110 - two nodes
                await asyncio.sleep(0.01)
            for exchange in (one.session(other), other.session(one)):
                await exchange.ready.wait()
                while not exchange._session.proven:  # noqa: ASYNC110 - the other node proves
                    await asyncio.sleep(0.01)
