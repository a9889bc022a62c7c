"""Nodes on loopback: a door with a real certificate, a listener, a dialer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.certificate import TlsIdentity, make_tls_identity
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import Door
from almenara.node.transport.listener import Listener, ListenerLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from almenara.node.transport.link import Link, PairingChannel

PASSWORD = b"a password from the vault"


@dataclass
class Tower:
    """One node, as far as transport goes. Its links and pairing channels land in queues."""

    id: bytes
    identity: TlsIdentity
    door: Door
    listener: Listener
    dialer: Dialer
    links: asyncio.Queue[Link] = field(default_factory=asyncio.Queue)
    channels: asyncio.Queue[PairingChannel] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[object] = field(default_factory=asyncio.Queue)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.listener.port}"

    def knows(self, other: Tower) -> None:
        self.door.pin(other.id, other.identity.cert_der)


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Tower]]]:
    """Make started towers; all are closed at the end."""
    made: list[Tower] = []

    async def make(name: str, limits: ListenerLimits | None = None) -> Tower:
        identity = make_tls_identity(PASSWORD)
        pem = tmp_path / f"{name}.pem"
        pem.write_bytes(identity.pem)
        door = Door(pem, lambda: PASSWORD)

        async def on_link(link: Link) -> None:
            tower.links.put_nowait(link)
            await _drain(link)

        async def on_pairing(channel: PairingChannel) -> None:
            tower.channels.put_nowait(channel)
            await _drain(channel)

        async def _drain(channel: Link | PairingChannel) -> None:
            try:
                async for message in channel:
                    await channel.send(message)
            except Exception as error:
                tower.ended.put_nowait(error)
                raise
            tower.ended.put_nowait(None)

        listener = Listener(door, on_link=on_link, on_pairing=on_pairing, limits=limits)
        tower = Tower(name.encode().ljust(32, b"."), identity, door, listener, Dialer(door))
        await listener.start("127.0.0.1", 0)
        made.append(tower)
        return tower

    yield make
    for tower in made:
        await tower.dialer.close()
        await tower.listener.close()


@pytest.fixture
async def pair(build: Callable[..., Awaitable[Tower]]) -> tuple[Tower, Tower]:
    """Two towers that have pinned each other."""
    a, b = await build("a"), await build("b")
    a.knows(b)
    b.knows(a)
    return a, b


async def bytes_until_end(reader: asyncio.StreamReader) -> bytes:
    """Everything the other side says before the connection ends, however it ends."""
    heard = b""
    with contextlib.suppress(OSError):
        while part := await reader.read(4096):
            heard += part
    return heard
