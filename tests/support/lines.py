"""Sessions between whole nodes without sockets: the real exchange on both sides of a pair of queues."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from almenara.node.clock import HOUR_MS
from almenara.node.exchange import Exchange
from almenara.protocol.messages import kind_of, parse_message
from tests.support.nodes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from almenara.node.links import Links
    from tests.support.mesh import Office


class End:
    """One end of a line, as a `Link`: what one side sends the other receives, until somebody hangs up."""

    def __init__(self, peer: bytes, *, inbound: bool) -> None:
        self.peer, self.inbound = peer, inbound
        self.other: End | None = None
        self.sent: list[bytes] = []
        self.lose: Callable[[bytes], bool] = lambda _: False  # frames that never arrive
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, message: bytes) -> None:
        """As `Link.send`."""
        self.sent.append(message)
        if self.other is not None and not self.lose(message):
            self.other._queue.put_nowait(message)
        await asyncio.sleep(0)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self._queue.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def close(self) -> None:
        """Both ends see it."""
        for end in (self, self.other):
            if end is not None:
                end._queue.put_nowait(None)


@dataclass
class Session:
    """A running session between two offices."""

    a: Exchange
    b: Exchange
    ends: tuple[End, End]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def said(self) -> Counter[str]:
        """How many frames of each kind both sides said together."""
        return Counter(kind_of(parse_message(frame)).name for end in self.ends for frame in end.sent)

    async def close(self) -> None:
        """Hang up, and wait for both sides to notice."""
        await self.ends[0].close()
        await asyncio.gather(*self.tasks)


@asynccontextmanager
async def session(a: Office, b: Office, *, lose: Callable[[bytes], bool] = lambda _: False) -> AsyncIterator[Session]:
    """A session between two open nodes; `lose` picks frames of `a` that never arrive."""
    ends = (End(b.id.raw, inbound=False), End(a.id.raw, inbound=True))
    ends[0].other, ends[1].other = ends[1], ends[0]
    ends[0].lose = lose
    made = [Exchange(_desk(office), _as_link(end)) for office, end in zip((a, b), ends, strict=True)]
    running = Session(made[0], made[1], ends)
    async with AsyncExitStack() as stack:
        for office, exchange in zip((a, b), made, strict=True):
            office.node.links._live[exchange.peer.raw] = exchange
            stack.callback(office.node.links._live.pop, exchange.peer.raw, None)
        writers = [asyncio.create_task(office.node.ingest.run()) for office in (a, b)]
        stack.push_async_callback(_stop, writers)
        running.tasks = [asyncio.create_task(exchange.run()) for exchange in made]
        stack.push_async_callback(running.close)
        yield running


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _desk(office: Office) -> Any:
    links: Links = office.node.links
    assert links.desk is not None
    return links.desk


def _as_link(end: End) -> Any:
    return end


async def same_ids(a: Office, b: Office) -> bool:
    """Whether both hold, or refused, the same envelopes in the scopes that both have."""
    hour = a.mesh.now // HOUR_MS
    common = a.node.keyring.scopes(hour).keys() & b.node.keyring.scopes(hour).keys()
    return await ids(a, common) == await ids(b, common)


async def ids(office: Office, tags: Collection[bytes] | None = None) -> set[bytes]:
    """What an office holds or refused, in some scopes or in all."""
    async with office.store.read() as tx:
        rows = [*await tx.log.ids_after(0, 100_000), *await tx.log.refused_after(0, 100_000)]
    return {row.envelope_id for row in rows if tags is None or row.tag in tags}


async def at_rest(a: Office, b: Office) -> None:
    """Wait until they hold the same."""

    async def equal() -> bool:
        return await same_ids(a, b)

    await until(equal, "the same envelopes on both sides")


async def soon(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that needs no database to be asked."""

    async def holds() -> bool:
        return condition()

    await until(holds, what)
