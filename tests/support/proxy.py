"""The lines between nodes in a user-space TCP proxy: all is late, connections die, sides lose sight of each other.

In place of the kernel's netem, which many machines do not have. It runs in a thread that a test may put elsewhere.
"""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

DELAY_SECONDS = (0.005, 0.06)
_READ = 64 * 1024


@dataclass(eq=False, slots=True)
class _Line:
    ends: frozenset[int]
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Node `n` is reached at `host:first_port + n`; who calls is known by its address."""

    def __init__(
        self, host: str, first_port: int, nodes: list[tuple[str, int]], enter: Callable[[], None], seed: int
    ) -> None:
        self._host, self._first, self._nodes, self._enter = host, first_port, nodes, enter
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._severed: set[frozenset[int]] = set()
        self._healed: asyncio.Event | None = None
        self._lines: set[_Line] = set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken = 0

    def start(self) -> None:
        """Listen for all nodes."""
        self._thread.start()
        self._call(self._listen())

    def close(self) -> None:
        """Cut every line and end the thread."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def sever(self, side: Collection[int]) -> None:
        """Nothing passes between these nodes and the others: half of the lines die, the other half stall."""
        self._call(self._sever(set(side)))

    def heal(self) -> None:
        """Everything passes again, stalled lines too."""
        self._call(self._heal())

    def break_lines(self, count: int) -> None:
        """So many of the lines die, at whatever byte they are."""
        self._call(self._break(count))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _run(self) -> None:
        self._enter()
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._healed = asyncio.Event()
        for number in range(len(self._nodes)):
            server = await asyncio.start_server(
                lambda r, w, n=number: self._serve(n, r, w), self._host, self._first + number
            )
            self._servers.append(server)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for line in self._lines:
            line.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _sever(self, side: set[int]) -> None:
        others = set(range(len(self._nodes))) - side
        self._severed = {frozenset((one, other)) for one in side for other in others}
        assert self._healed is not None
        self._healed.clear()
        for line in [line for line in self._lines if line.ends in self._severed]:
            if self._rng.random() < 0.5:
                line.abort()

    async def _heal(self) -> None:
        self._severed.clear()
        assert self._healed is not None
        self._healed.set()

    async def _break(self, count: int) -> None:
        lines = sorted(self._lines, key=lambda line: sorted(line.ends))
        for line in self._rng.sample(lines, min(count, len(lines))):
            line.abort()
            self.broken += 1

    async def _serve(self, called: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")[0]
        caller = next(number for number, (host, _) in enumerate(self._nodes) if host == address)
        ends = frozenset((caller, called))
        if ends in self._severed:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._nodes[called])
        except OSError:
            writer.transport.abort()
            return
        line = _Line(ends, (writer, far_writer))
        self._lines.add(line)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = self._loop.create_task(self._pass_on(line, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, line: _Line, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_READ):
                await asyncio.sleep(self._rng.uniform(*DELAY_SECONDS))
                while line.ends in self._severed:
                    assert self._healed is not None
                    await self._healed.wait()
                sink.write(data)
                await sink.drain()
        line.abort()
        self._lines.discard(line)
