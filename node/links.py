"""Live connections to verified peers: dialled, accepted, kept one per pair, cut when trust ends (PROTOCOL §2)."""

from __future__ import annotations

import asyncio
import contextlib
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.exchange import Desk, Exchange
from almenara.node.transport.backoff import Backoff
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.errors import DialFault, TransportError, Unreachable
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from almenara.node.events import Events
    from almenara.node.transport.door import Door
    from almenara.node.transport.link import Link

BASE_SECONDS = 1.0
CAP_SECONDS = 300.0  # the longest wait between two dials, so that a critical alert is never late by more

UNREACHABLE_REASONS = {
    DialFault.NO_SUCH_NAME: N_("The name in their address cannot be found."),
    DialFault.NO_ANSWER: N_("Their address does not answer."),
    DialFault.TIMED_OUT: N_("Their address did not answer in time."),
    DialFault.WRONG_CERTIFICATE: N_("Another node answers at their address."),
    DialFault.TURNED_AWAY: N_("Their node turned the connection away."),
}
NO_ADDRESS = N_("They gave no address; only they can connect.")

log = structlog.get_logger()


class Links:
    """Who is connected. One exchange per peer; the others are closed."""

    def __init__(self, own: NodeId, door: Door, events: Events) -> None:
        self._own, self._door, self._events = own, door, events
        self.dialer = Dialer(door)
        self.desk: Desk | None = None
        self._live: dict[bytes, Exchange] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._backoffs: dict[bytes, Backoff] = {}
        self._faults: dict[bytes, str] = {}
        self._ended: dict[bytes, asyncio.Event] = {}
        self._away: dict[bytes, float] = {}  # seconds until the next dial, where somebody hung up and said so
        self.on_contact: Callable[[bytes], None] = lambda _: None

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    def connected(self, peer: bytes) -> bool:
        """Whether a session with the peer is running."""
        return peer in self._live

    def of(self, peer: bytes) -> Exchange | None:
        """The peer's session."""
        return self._live.get(peer)

    def fault(self, peer: bytes) -> str:
        """Why the last dial failed, in words; empty when none did."""
        return self._faults.get(peer, "")

    def keep(self, peer: bytes, certificate: bytes, endpoints: tuple[str, ...]) -> None:
        """Pin a verified peer and stay connected to it."""
        self._door.pin(peer, certificate)
        old = self._tasks.pop(peer, None)
        if old is not None:
            old.cancel()
        if endpoints:
            self._tasks[peer] = asyncio.create_task(self._stay_connected(peer, endpoints))
        else:
            self._faults[peer] = NO_ADDRESS

    async def drop(self, peer: bytes) -> None:
        """End trust: the pin goes, a live link is cut at once, nobody dials any more."""
        self._door.unpin(peer)
        task = self._tasks.pop(peer, None)
        if task is not None:
            task.cancel()
        exchange = self._live.get(peer)
        if exchange is not None:
            await exchange.close()

    def wake(self) -> None:
        """The log has grown."""
        for exchange in self:
            exchange.wake()

    def prove(self) -> None:
        """Our scopes have changed."""
        for exchange in self:
            exchange.prove()
            exchange.ask()

    async def close(self) -> None:
        """Hang up everywhere."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(exchange.close() for exchange in self), return_exceptions=True)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.dialer.close()

    async def run_link(self, link: Link) -> None:
        """Run a session on a new link, unless the rule for two dials at once says to keep the other."""
        if self.desk is None:
            return
        rival = self._live.get(link.peer)
        if rival is not None:
            if not self._prefers(link, rival):
                await link.close()
                return
            await rival.close()
        exchange = Exchange(self.desk, link)
        self._live[link.peer] = exchange
        self._faults.pop(link.peer, None)
        self._tell(link.peer)
        try:
            await exchange.run()
        except TransportError as error:
            log.info("link-lost", peer=NodeId(link.peer).short, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this session, never the dialling after it
            log.error("session-failed", peer=NodeId(link.peer).short, error=type(error).__name__)  # noqa: TRY400 - a trace may hold data
        finally:
            if self._live.get(link.peer) is exchange:
                del self._live[link.peer]
                self._away[link.peer] = min(exchange.stay_away, CAP_SECONDS)
            self._tell(link.peer)

    def _tell(self, peer: bytes) -> None:
        """There was contact, or it ended: dial soon again either way."""
        if peer in self._backoffs:
            self._backoffs[peer].reset()
            self._ended[peer].set()
        self.on_contact(peer)
        self._events.publish("peers", peer.hex())

    def _prefers(self, link: Link, rival: Exchange) -> bool:
        """Of two dials at once the one by the lower node id stays; of two by one side the newer; the old is dead."""
        if rival.inbound == link.inbound:
            return True
        opened_by_us = not link.inbound
        return opened_by_us == (self._own.raw < link.peer)

    async def _stay_connected(self, peer: bytes, endpoints: tuple[str, ...]) -> None:
        backoff = self._backoffs[peer] = Backoff(BASE_SECONDS, CAP_SECONDS, SystemRandom())
        ended = self._ended[peer] = asyncio.Event()
        while True:
            await asyncio.sleep(self._away.pop(peer, 0.0))
            if peer not in self._live:
                await self._dial_once(peer, endpoints)
            ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next()):
                    await ended.wait()
                await asyncio.sleep(backoff.next())  # a link has just ended: soon again, but not all at once

    async def _dial_once(self, peer: bytes, endpoints: tuple[str, ...]) -> None:
        for endpoint in endpoints:
            try:
                link = await self.dialer.dial(peer, endpoint)
            except Unreachable as error:
                self._faults[peer] = UNREACHABLE_REASONS[error.fault]
            except (TransportError, OSError) as error:  # of ours: a bad address, no pin, no file with our certificate
                log.warning("dial-refused", peer=NodeId(peer).short, error=type(error).__name__)
            else:
                with contextlib.suppress(TransportError):
                    await self.run_link(link)
                return
