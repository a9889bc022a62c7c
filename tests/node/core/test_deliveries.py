"""What is written down of an alert's way, whatever comes first and whatever the disk does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from almenara.crypto.identity import NodeId
from almenara.node.deliveries import Deliveries
from almenara.node.events import Events
from almenara.node.storage.engine import open_store
from almenara.protocol.session import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from almenara.node.storage.engine import Store, Transaction

PEER, ALERT, ENVELOPE = NodeId(b"p" * 32), b"a" * 16, b"e" * 32
SENT, STORED = 1_000, 2_000


class Desk:
    """A store, a clock that stands still until told, and one queued delivery."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, SENT
        self.deliveries = Deliveries(store, lambda: self.now, Events())

    async def row(self) -> tuple[str, int | None, int | None]:
        """State, when sent, when stored."""
        async with self.store.read() as tx:
            (row,) = await tx.deliveries.of(ALERT)
        return row.state, row.sent_at, row.stored_at


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An alert of ours that waits for one recipient."""
    store = await open_store(tmp_path / "data.db", bytes(32), bytes(32), clock=lambda: SENT)
    made = Desk(store)
    async with store.write() as tx:
        await made.deliveries.queue(tx, ALERT, ENVELOPE, [PEER])
    made.deliveries.watch(ENVELOPE, [PEER])
    yield made
    await store.close()


async def test_an_answer_that_comes_at_once_is_written_with_the_time_it_went_out(desk: Desk) -> None:
    """One transaction for both, and nothing left to write."""
    desk.deliveries.sent(PEER, [ENVELOPE])
    desk.now = STORED
    await desk.deliveries.acknowledged(PEER, [(ENVELOPE, Outcome.STORED)])
    assert await desk.row() == ("stored", SENT, STORED)
    await desk.deliveries.flush()
    assert await desk.row() == ("stored", SENT, STORED)


async def test_without_an_answer_it_is_written_that_it_went_out(desk: Desk) -> None:
    """And the answer that comes later keeps the time."""
    desk.deliveries.sent(PEER, [ENVELOPE])
    await desk.deliveries.flush()
    assert await desk.row() == ("sent", SENT, None)
    desk.now = STORED
    await desk.deliveries.acknowledged(PEER, [(ENVELOPE, Outcome.STORED)])
    assert await desk.row() == ("stored", SENT, STORED)


async def test_a_carriers_word_is_never_stored(desk: Desk) -> None:
    """It is carried, by whom; once it goes out on the recipient's own link it is sent, and stored on its word alone."""
    carrier = NodeId(b"c" * 32)
    await desk.deliveries.acknowledged(carrier, [(ENVELOPE, Outcome.HELD)])
    assert await desk.row() == ("carried", None, None)
    async with desk.store.read() as tx:
        assert [row.node_id for row in await tx.carrying.holders([ENVELOPE])] == [carrier.raw]
    for outcome in (Outcome.REFUSED, Outcome.HELD):
        await desk.deliveries.acknowledged(carrier, [(ENVELOPE, outcome)])
        assert await desk.row() == ("carried", None, None)
    desk.deliveries.sent(PEER, [ENVELOPE])
    await desk.deliveries.flush()
    assert await desk.row() == ("sent", SENT, None)
    desk.now = STORED
    await desk.deliveries.acknowledged(PEER, [(ENVELOPE, Outcome.STORED)])
    assert await desk.row() == ("stored", SENT, STORED)


async def test_a_recipient_that_waits_for_its_key_is_no_carrier(desk: Desk) -> None:
    await desk.deliveries.acknowledged(PEER, [(ENVELOPE, Outcome.HELD)])
    async with desk.store.read() as tx:
        assert await tx.carrying.holders([ENVELOPE]) == []
    assert (await desk.row())[0] == "sent"


async def test_what_a_failing_disk_did_not_take_is_written_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten between two tries."""
    desk.deliveries.sent(PEER, [ENVELOPE])

    @asynccontextmanager
    async def failing(*_: Any) -> AsyncIterator[Transaction]:
        raise OSError("no space left")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(desk.store, "write", failing)
        with pytest.raises(OSError, match="no space"):
            await desk.deliveries.flush()
    assert await desk.row() == ("queued", None, None)
    await desk.deliveries.flush()
    assert await desk.row() == ("sent", SENT, None)
