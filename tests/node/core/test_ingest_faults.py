"""What happens to received envelopes when our own program or our own disk fails: the next one still comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from almenara.crypto.identity import NodeId
from almenara.crypto.random import random_bytes
from almenara.crypto.signing import SigningKey
from almenara.node import ingest as module
from almenara.node.authoring import Author
from almenara.node.cards import Cards
from almenara.node.chainbook import Chainbook
from almenara.node.clock import now_ms
from almenara.node.deliveries import Deliveries
from almenara.node.events import Events
from almenara.node.exchange import Arrival
from almenara.node.ingest import Ingest
from almenara.node.keyring import Keyring
from almenara.node.receipts import Receipts
from almenara.node.storage.engine import Store, open_store
from almenara.node.timekeeper import Timekeeper
from almenara.protocol.envelope import Outer, Suite
from almenara.protocol.limits import LARGE, SMALL
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TAG = b"t" * 16
BAD_KID = b"k" * 16


@dataclass(eq=False)
class Sender:
    """An exchange as far as ingest knows it."""

    peer: NodeId = field(default_factory=lambda: NodeId(random_bytes(32)))
    peer_epoch: bytes = field(default_factory=lambda: random_bytes(16))
    answers: dict[int, Outcome] = field(default_factory=dict)
    closed: bool = False

    def acknowledge(self, _lane: int, outcomes: list[tuple[int, Outcome]]) -> None:
        self.answers.update(outcomes)

    async def rest(self) -> None:
        self.closed = True


class Keys:
    """A keyring that knows one scope, no key, and a kid at which it fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open_with(self, kid: bytes) -> None:
        if kid == BAD_KID:
            raise self.error

    def scopes(self, _hour: int) -> dict[bytes, bytes]:
        return {TAG: bytes(32)}

    def kids(self) -> list[bytes]:
        return []


class Office:
    """Circles as far as ingest knows them: a transaction, and no news."""

    own: NodeId
    verified: set[bytes]

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fail: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Any]:
        async with self.store.write() as tx:
            yield tx
            self.fail()

    def take_news(self) -> bool:
        return False


@dataclass
class Desk:
    """Ingest with everything around it replaced but the database."""

    store: Store
    office: Office
    keys: Keys
    ingest: Ingest

    async def push(self, sender: Sender, *envelopes: bytes) -> None:
        for position, envelope in enumerate(envelopes, 1):
            await self.ingest.submit(Arrival(sender, 1, position, envelope))  # type: ignore[arg-type]

    async def settled(self, sender: Sender, count: int) -> None:
        async with asyncio.timeout(20):
            while len(sender.answers) < count and not sender.closed:  # noqa: ASYNC110 - the other task has no event
                await asyncio.sleep(0.005)

    async def refusals(self) -> list[tuple[str, str]]:
        async with self.store.read() as tx:
            return [(row.reason, row.field) for row in await tx.quarantine.recent(10)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await open_store(tmp_path / "data.db", bytes(32), bytes(32), clock=now_ms)
    office, keys = Office(store), Keys(RuntimeError("a fault of ours, with a secret in it"))
    clock, events, own = Timekeeper(now_ms), Events(), NodeId(random_bytes(32))
    office.own, office.verified = own, set()
    deliveries = Deliveries(store, clock, events)
    author = Author(own, SigningKey.from_seed(bytes(32)), Cards(own), Keyring(), clock)
    receipts = Receipts(office, author, deliveries, clock)  # type: ignore[arg-type]
    book = Chainbook(office)  # type: ignore[arg-type]
    ingest = Ingest(store, keys, office, book, receipts, deliveries, clock, events)  # type: ignore[arg-type]
    running = asyncio.create_task(ingest.run())
    yield Desk(store, office, keys, ingest)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


def envelope(kid: bytes = b"", size: int = SMALL) -> bytes:
    hour = now_ms() // 3_600_000
    outer = Outer(suite=Suite.CIRCLE, tag=TAG, created_hour=hour, cls=1, lane=1, kid=kid or random_bytes(16))
    return outer.pack() + random_bytes(size - 48)


@pytest.mark.parametrize("error", [RuntimeError("a secret"), IntegrityError("", {}, ValueError()), OverflowError()])
async def test_a_fault_of_ours_costs_only_the_envelope_that_met_it(desk: Desk, error: Exception) -> None:
    """First, middle and last of a batch: the others are kept, the cursor moves on, and the reason is `internal`."""
    desk.keys.error = error
    for place in range(3):
        sender, batch = Sender(), [envelope(), envelope()]
        batch.insert(place, envelope(BAD_KID))
        await desk.push(sender, *batch)
        await desk.settled(sender, 3)
        assert sender.answers.pop(place + 1) is Outcome.REFUSED
        assert set(sender.answers.values()) == {Outcome.HELD}
        assert not sender.closed
        async with desk.store.read() as tx:
            assert await tx.log.incoming(sender.peer.raw) == {1: (sender.peer_epoch, 3)}
    assert await desk.refusals() == [("malformed", "internal")] * 3


@pytest.mark.parametrize("error", [OSError("disk full"), OperationalError("disk I/O error", {}, OSError())])
async def test_a_disk_that_fails_ends_the_sessions_and_answers_nothing(desk: Desk, error: Exception) -> None:
    """Nothing is acknowledged that was not written; once the disk works again, so does the node."""

    def fail() -> None:
        raise error

    desk.office.fail = fail
    sender = Sender()
    await desk.push(sender, envelope(), envelope())
    await desk.settled(sender, 2)
    assert (sender.closed, sender.answers) == (True, {})
    desk.office.fail = lambda: None
    again = Sender()
    await desk.push(again, envelope())
    await desk.settled(again, 1)
    assert again.answers == {1: Outcome.HELD}


async def test_where_not_even_a_refusal_can_be_written_the_session_ends_and_the_node_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise IntegrityError("", {}, ValueError())

    monkeypatch.setattr(desk.ingest, "_give_up", fail)
    sender, other = Sender(), Sender()
    await desk.push(sender, envelope(BAD_KID))
    await desk.settled(sender, 1)
    assert (sender.closed, sender.answers) == (True, {})
    await desk.push(other, envelope())
    await desk.settled(other, 1)
    assert other.answers == {1: Outcome.HELD}


async def test_what_waits_is_bounded_in_bytes_so_that_the_link_pushes_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large envelopes fill the queue sooner, and empty ones fill it too."""
    monkeypatch.setattr(module, "QUEUE_BYTES", 4 * SMALL)
    for kind in (envelope(size=LARGE), b""):
        sender = Sender()
        async with desk.store.write():
            pushing = asyncio.create_task(desk.push(sender, *[kind] * 30))
            await asyncio.sleep(0.05)
            assert not pushing.done()
            assert len(desk.ingest._queue) <= 4
        await pushing
        await desk.settled(sender, 30)
        assert len(sender.answers) == 30
