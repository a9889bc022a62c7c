"""The network between simulated nodes: connections as TCP gives them, which are late, stall, and die at any frame.

Inside a living connection nothing is lost or reordered. When one dies, each direction loses whatever had not arrived,
from any frame on, and each side learns of it at its own time. Links race each other freely.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from almenara.node.transport.dialer import DIRECT
from almenara.node.transport.errors import CloseReason, DialFault, LinkClosed, NotPinned, Unreachable
from almenara.node.transport.link import SEND_SECONDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.simulation.site import Site
    from tests.simulation.trace import Trace

DELAY = (0.002, 0.4)  # seconds a frame takes: from one room to a slow phone line
NOTICE = (0.1, 50.0)  # until a side learns that the other is gone: a reset, or two heartbeats
BUFFER = 512 * 1024  # bytes on their way in one direction before sending waits
DIAL_SECONDS = (0.05, 2.0)
GIVE_UP_SECONDS = 20.0  # a dial that nobody answers


class Network:
    """Who can reach whom, and every live connection."""

    def __init__(self, rng: random.Random, trace: Trace) -> None:
        self.rng, self.trace = rng, trace
        self.sites: dict[bytes, Site] = {}
        self._severed: set[frozenset[str]] = set()
        self._wires: list[Wire] = []

    def reachable(self, a: Site, b: Site) -> bool:
        """Whether packets travel between two sites, whatever runs there."""
        return frozenset((a.name, b.name)) not in self._severed

    def sever(self, a: Site, b: Site) -> None:
        """No packet passes any more; connections stall, and after some time their ends give up."""
        self._severed.add(frozenset((a.name, b.name)))
        for wire in self._between(a, b):
            wire.stall()

    def heal(self) -> None:
        """Everybody can reach everybody."""
        self._severed.clear()
        for wire in list(self._wires):
            wire.resume()

    def break_links(self, a: Site, b: Site) -> None:
        """Connections between two sites die now; new ones may be made."""
        for wire in self._between(a, b):
            wire.die()

    def lost(self, site: Site) -> None:
        """A node is gone without a word."""
        for wire in list(self._wires):
            if site in wire.sites:
                wire.die()

    @property
    def busy(self) -> bool:
        """Whether a frame is on its way."""
        return any(wire.busy for wire in self._wires)

    def _between(self, a: Site, b: Site) -> list[Wire]:
        return [wire for wire in self._wires if set(wire.sites) == {a, b}]

    async def dial(self, caller: Site, peer: bytes) -> End:
        """Connect two nodes. Raises `Unreachable` as the real dialer does."""
        called = self.sites[peer]
        self.trace.note("dial", f"{caller.name}>{called.name}")
        await asyncio.sleep(self.rng.uniform(*DIAL_SECONDS))
        if not self.reachable(caller, called):
            await asyncio.sleep(GIVE_UP_SECONDS)
            raise Unreachable(DialFault.TIMED_OUT)
        if not called.listening or not caller.up:
            raise Unreachable(DialFault.NO_ANSWER)
        wire = Wire(self, caller, called)
        try:
            wire.watch()
        except NotPinned:
            raise Unreachable(DialFault.TURNED_AWAY) from None
        self._wires.append(wire)
        self.trace.note("link", f"{caller.name}>{called.name}")
        called.answer(wire.ends[1])
        return wire.ends[0]

    def forget(self, wire: Wire) -> None:
        """It is over at both ends."""
        if wire in self._wires:
            self._wires.remove(wire)


class Wire:
    """One connection: two ends, and a pipe to each."""

    def __init__(self, network: Network, caller: Site, called: Site) -> None:
        self.network, self.sites = network, (caller, called)
        self.ends = (End(self, caller, called, inbound=False), End(self, called, caller, inbound=True))
        self.stalled = False

    def watch(self) -> None:
        """Each door may cut its end. Raises NotPinned where one does not know the other."""
        for end in self.ends:
            end.watch()

    def other(self, end: End) -> End:
        """The far end."""
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        return any(end.coming for end in self.ends)

    def stall(self) -> None:
        """Nothing arrives; both ends give up unless it ends soon."""
        if not self.stalled:
            self.stalled = True
            for end in self.ends:
                end.later(self.network.rng.uniform(25.0, NOTICE[1]), self._give_up, end)

    def _give_up(self, end: End) -> None:
        if self.stalled:
            end.lose()

    def resume(self) -> None:
        """What was held arrives in order, at ends that did not give up."""
        self.stalled = False
        for end in self.ends:
            end.catch_up()

    def die(self) -> None:
        """From any frame on, in both directions, nothing arrives; each end notices at its own time."""
        for end in self.ends:
            end.sever(self.network.rng.uniform(*NOTICE))


class End:
    """What a session holds: the interface of `transport.link.Link`."""

    def __init__(self, wire: Wire, site: Site, far: Site, *, inbound: bool) -> None:
        self.peer, self.inbound = far.id.raw, inbound
        self.site, self._far, self._wire = site, far, wire
        self.coming: deque[tuple[asyncio.TimerHandle, bytes]] = deque()  # frames on their way to this end
        self._held: list[bytes] = []  # frames that arrived at a stalled line
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._last_at = 0.0
        self._ended = False
        self._severed = False
        self._broken: CloseReason | None = None
        self._room = asyncio.Event()
        self._unwatch: Callable[[], None] = _nothing

    def watch(self) -> None:
        """As the real link's: unpinning the peer cuts it at once."""
        self._unwatch = self.site.node.door.watch(self.peer, self.cut)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended

    async def send(self, message: bytes) -> None:
        """Hand one message over; waits while the line is full. Raises LinkClosed."""
        far = self._wire.other(self)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                while not self._ended and sum(len(frame) for _, frame in far.coming) > BUFFER:
                    far._room.clear()
                    await far._room.wait()
        except TimeoutError:
            self.cut(CloseReason.STALLED)
        if self._ended:
            raise LinkClosed(self._broken or CloseReason.CLOSED)
        self._wire.network.trace.note("frame", f"{self.site.name}>{self._far.name}", message)
        far.post(message)

    def post(self, message: bytes) -> None:
        """Put a frame on its way to this end."""
        if self._severed:
            return
        loop = asyncio.get_running_loop()
        delay = self._wire.network.rng.uniform(*DELAY)
        self._last_at = max(self._last_at, loop.time() + delay)
        handle = loop.call_at(self._last_at, self._arrive)
        self.coming.append((handle, message))

    def _arrive(self) -> None:
        _, message = self.coming.popleft()
        self._room.set()
        if self._wire.stalled:
            self._held.append(message)
        else:
            self._arrived.put_nowait(message)

    def catch_up(self) -> None:
        """The line is open again."""
        for message in self._held:
            self._arrived.put_nowait(message)
        self._held.clear()

    def sever(self, notice: float) -> None:
        """Drop what is on its way from any frame on; notice after so many seconds."""
        if self._severed:
            return
        self._severed = True
        kept = self._wire.network.rng.randint(0, len(self.coming))
        while len(self.coming) > kept:
            handle, _ = self.coming.pop()
            handle.cancel()
        self._room.set()
        self.later(notice, self.lose)

    def later(self, seconds: float, work: Callable[..., None], *arguments: object) -> None:
        """After some time."""
        asyncio.get_running_loop().call_later(seconds, work, *arguments)

    def lose(self) -> None:
        """The line is gone, and this end learns it."""
        if not self._ended:
            self._broken = CloseReason.LOST
            self._finish()

    def cut(self, reason: CloseReason = CloseReason.CUT) -> None:
        """End it now, without a word; the other side learns it late."""
        if not self._ended:
            self._broken = reason
            self._finish()
            self._wire.other(self).sever(self._wire.network.rng.uniform(*NOTICE))

    async def close(self) -> None:
        """Close in order: what was sent before still arrives, then the other side reads the end."""
        if not self._ended:
            self._finish()
            far = self._wire.other(self)
            if not far._severed:
                far._severed = True
                far.later(max(0.0, far._last_at - asyncio.get_running_loop().time()) + 0.001, far._end)

    def _end(self) -> None:
        if self._wire.stalled:
            return  # the word does not come through; the stall ends this side
        self._finish()

    def _finish(self) -> None:
        self._ended = True
        self._unwatch()
        self._unwatch = _nothing
        self._room.set()
        self._wire.other(self)._room.set()
        self._arrived.put_nowait(None)
        if self._wire.other(self)._ended:
            self._wire.network.forget(self._wire)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def receive(self) -> bytes | None:
        """The next message, or None once it was closed in order. Raises LinkClosed."""
        message = await self._arrived.get()
        if message is None:
            self._arrived.put_nowait(None)
            if self._broken is not None:
                raise LinkClosed(self._broken)
        return message


class SimulatedDialer:
    """In place of `transport.dialer.Dialer`."""

    pace = DIRECT

    def __init__(self, network: Network, site: Site) -> None:
        self._network, self._site = network, site

    async def dial(self, peer: bytes, endpoint: str) -> End:  # noqa: ARG002 - a node is where its id is
        """As the real one."""
        return await self._network.dial(self._site, peer)

    async def close(self) -> None:
        """Nothing is kept."""


def _nothing() -> None:
    """No door watches."""
