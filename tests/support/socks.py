"""A SOCKS5 proxy inside a test: knows every name the test gives it, remembers what it was asked, can fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REFUSED_CREDENTIALS = -1


@dataclass
class Socks:
    """The proxy, what it knows, and what it saw."""

    places: dict[str, int] = field(default_factory=dict)  # `host:port` as asked for -> loopback port
    reply: int = 0  # RFC 1928 §6, given to everybody when not 0; or REFUSED_CREDENTIALS
    asked: list[str] = field(default_factory=list)
    credentials: list[bytes] = field(default_factory=list)
    port: int = 0
    running: set[asyncio.Task[None]] = field(default_factory=set)
    silent: asyncio.Event = field(default_factory=asyncio.Event)  # set: no byte goes on, in either direction

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self.running.discard(task)
            await _hang_up(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        assert 2 in await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        self.credentials.append(await self._login(reader))
        writer.write(b"\x01\x01" if self.reply == REFUSED_CREDENTIALS else b"\x01\x00")
        place = await self._request(reader)
        self.asked.append(place)
        reply = self.reply or (0 if place in self.places else 4)
        writer.write(bytes([5, reply, 0, 1]) + bytes(6))
        if reply == 0:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.places[place])
            try:
                await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
            finally:
                await _hang_up(there_writer)

    @staticmethod
    async def _login(reader: asyncio.StreamReader) -> bytes:
        _, length = await reader.readexactly(2)
        name = await reader.readexactly(length)
        (length,) = await reader.readexactly(1)
        return name + b":" + await reader.readexactly(length)

    @staticmethod
    async def _request(reader: asyncio.StreamReader) -> str:
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(str(byte) for byte in await reader.readexactly(4))
        else:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode("ascii")
        return f"{host}:{int.from_bytes(await reader.readexactly(2))}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.silent.is_set():
                    writer.write(data)
                    await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def socks() -> AsyncIterator[Socks]:
    """A proxy that listens until the block ends."""
    made = Socks()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = int(server.sockets[0].getsockname()[1])
    async with server:
        yield made
        server.close()
        for task in made.running:
            task.cancel()
        await asyncio.gather(*made.running, return_exceptions=True)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
