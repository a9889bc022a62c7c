"""Live connections to verified peers: dialled, accepted, kept one per pair, cut when trust ends (PROTOCOL §2)."""

from __future__ import annotations

import asyncio
import contextlib
from random import SystemRandom
from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.exchange import Desk, Exchange
from almenara.node.silence import CALLS_US, FAULTS, NO_ADDRESS, NOT_CONNECTED, Silence
from almenara.node.transport.backoff import Backoff
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.errors import EndpointMalformed, TransportError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from almenara.node.events import Events
    from almenara.node.repair import Progress, SessionRepair
    from almenara.node.transport.door import Door
    from almenara.node.transport.endpoint import Endpoint
    from almenara.node.transport.link import Link

HINT_SECONDS = 3600.0  # as long as an announcement stands
HINTS = 4  # addresses tried for one peer on the local network
CAP_SECONDS = 1_800.0  # the longest wait between two dials; whoever comes back dials, too
URGENT_CAP_SECONDS = 300.0  # the same while a critical alert of ours is under way to the peer

log = structlog.get_logger()


class Links:
    """Who is connected. One exchange per peer; the others are closed."""

    def __init__(self, own: NodeId, door: Door, events: Events, proxy: Endpoint | None = None) -> None:
        self._own, self._door, self._events = own, door, events
        self.dialer = Dialer(door, proxy=proxy)
        self.desk: Desk | None = None
        self._live: dict[bytes, Exchange] = {}
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._backoffs: dict[bytes, Backoff] = {}
        self._faults: dict[bytes, Silence] = {}  # why the last dial failed
        self._callers: set[bytes] = set()  # peers that gave no address
        self._hints: dict[bytes, dict[str, float]] = {}  # peer -> where it was heard, until when that counts
        self._ended: dict[bytes, asyncio.Event] = {}
        self._stay_away: dict[bytes, float] = {}  # peer -> loop time until which it asked us not to call
        self.is_urgent: Callable[[bytes], bool] = lambda _: False
        self.on_contact: Callable[[bytes], None] = lambda _: None

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._live.values()))

    def clock_differences(self) -> list[int]:
        """Minutes that each connected peer's clock is ahead of our computer's."""
        return [exchange.clock_difference_min for exchange in self if exchange.greeted]

    def __len__(self) -> int:
        return len(self._live)

    def connected(self, peer: bytes) -> bool:
        """Whether a session with the peer is running."""
        return peer in self._live

    def of(self, peer: bytes) -> Exchange | None:
        """The peer's session."""
        return self._live.get(peer)

    def clock_difference(self, peer: bytes) -> int | None:
        """How many minutes the clock of a connected peer is ahead of ours; negative where it is behind."""
        exchange = self._live.get(peer)
        return exchange.clock_difference_min if exchange is not None and exchange.greeted else None

    def silence(self, peer: bytes) -> Silence:
        """Why no session with the peer is running."""
        return CALLS_US if peer in self._callers else self._faults.get(peer, NOT_CONNECTED)

    def backlog(self, peer: bytes) -> int:
        """How many envelopes a peer is still to be pushed because of a repair."""
        repair = self._repair_of(peer)
        return repair.backlog if repair else 0

    def progress(self, peer: bytes) -> Progress | None:
        """How far a repair has come that brings us something from a peer."""
        repair = self._repair_of(peer)
        return repair.progress if repair else None

    def _repair_of(self, peer: bytes) -> SessionRepair | None:
        exchange = self._live.get(peer)
        return exchange.repair if exchange else None

    def keep(self, peer: bytes, certificate: bytes, endpoints: tuple[str, ...]) -> None:
        """Pin a verified peer and stay connected to it."""
        self._door.pin(peer, certificate)
        old = self._tasks.pop(peer, None)
        if old is not None:
            old.cancel()
        self._faults.pop(peer, None)
        if endpoints:
            self._callers.discard(peer)
        else:
            self._callers.add(peer)
        if endpoints or peer in self._hints:
            self._start(peer, endpoints)

    def _start(self, peer: bytes, endpoints: tuple[str, ...]) -> None:
        """Dial for ever; a node that has silently ceased to would get no warning any more."""
        task = self._tasks[peer] = asyncio.create_task(self._stay_connected(peer, endpoints))
        task.add_done_callback(_say_if_died)

    def hint(self, peer: bytes, endpoint: str) -> None:
        """A verified peer may be at this address of the local network for the next hour: dial it there too, soon."""
        now = asyncio.get_running_loop().time()
        known = {at: until for at, until in self._hints.get(peer, {}).items() if until > now}
        if len(known) < HINTS:  # whoever floods the network with liars does not push out the address heard before
            known.setdefault(endpoint, now + HINT_SECONDS)
        self._hints[peer] = known
        if peer not in self._tasks:
            self._start(peer, ())
        elif peer in self._backoffs and peer not in self._live:
            self._backoffs[peer].reset()
            self._ended[peer].set()

    async def drop(self, peer: bytes) -> None:
        """End trust: the pin goes, a live link is cut at once, nobody dials any more."""
        self._door.unpin(peer)
        self._hints.pop(peer, None)
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

    def carry(self) -> None:
        """Whom we ask to carry, or what we grant, has changed."""
        for exchange in self:
            exchange.carry()

    def hurry(self, peer: bytes) -> None:
        """Something critical is under way to this peer: dial soon, unless it is connected or asked us to wait."""
        if peer in self._backoffs and peer not in self._live:
            self._backoffs[peer].reset()
            self._ended[peer].set()

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
        self._stay_away.pop(link.peer, None)  # whoever calls is to be called again
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
            if exchange.retry_after:
                wait = min(exchange.retry_after, URGENT_CAP_SECONDS)
                self._stay_away[link.peer] = asyncio.get_running_loop().time() + wait
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
        backoff = self._backoffs[peer] = Backoff(self.dialer.pace.retry_seconds, CAP_SECONDS, SystemRandom())
        ended = self._ended[peer] = asyncio.Event()
        while True:
            if peer not in self._live and not self._asked_to_wait(peer):
                await self._dial_once(peer, endpoints)
            ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait(peer, backoff)):
                    await ended.wait()
                await asyncio.sleep(self._wait(peer, backoff))  # a link has just ended: soon again, not all at once

    def _wait(self, peer: bytes, backoff: Backoff) -> float:
        """Seconds until the next dial: at least as long as the peer asked for."""
        cap = URGENT_CAP_SECONDS if self.is_urgent(peer) else CAP_SECONDS
        return max(min(backoff.next(), cap), self._asked_to_wait(peer))

    def _asked_to_wait(self, peer: bytes) -> float:
        return max(0.0, self._stay_away.get(peer, 0.0) - asyncio.get_running_loop().time())

    def _hinted(self, peer: bytes) -> tuple[str, ...]:
        now = asyncio.get_running_loop().time()
        return tuple(at for at, until in self._hints.get(peer, {}).items() if until > now)

    async def _dial_once(self, peer: bytes, endpoints: tuple[str, ...]) -> None:
        hinted = self._hinted(peer)
        for endpoint in (*hinted, *endpoints):
            try:
                link = await self.dialer.dial(peer, endpoint)
            except Unreachable as error:
                if endpoint not in hinted:  # anybody can say anything on a local network
                    self._faults[peer] = FAULTS[error.fault]
            except EndpointMalformed:
                self._faults[peer] = NO_ADDRESS
            except (TransportError, OSError) as error:  # of ours: no pin, no file with our certificate
                log.warning("dial-refused", peer=NodeId(peer).short, error=type(error).__name__)
            else:
                with contextlib.suppress(TransportError):
                    await self.run_link(link)
                return


def _say_if_died(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task-died", error=type(error).__name__)
