"""Whole nodes inside a test: real vault, database, sockets and TLS on loopback, without processes and command line."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from almenara.node.config import load_config
from almenara.node.daemon import open_node
from almenara.node.founding import found
from almenara.node.home import Home
from almenara.node.service import LOCAL, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

PASSPHRASE = "four unrelated words here"
PATIENCE_S = 20.0


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def make_home(folder: Path, name: str, peer: str | None = None) -> Home:
    """A founded home that listens on loopback; `peer` are other lines for that section."""
    home = Home(folder)
    peer = f'listen = "127.0.0.1:{free_port()}"' if peer is None else peer
    text = f'[node]\nname = "{name}"\n[peer]\n{peer}\n[panel]\nlisten = "127.0.0.1:{free_port()}"\n'
    found(home, PASSPHRASE, text)
    return home


@asynccontextmanager
async def running(home: Home) -> AsyncIterator[Service]:
    """The node of a home, open and connected, until the block ends."""
    config = load_config(home)
    service = Service(config, "test", lambda secret: open_node(home, config, secret, service.events))
    await service.unlock(PASSPHRASE)
    try:
        yield service
    finally:
        await service.close()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something holds; a test that waits in vain says what for."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - what is awaited lies in another node
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE_S:.0f} s in vain: {what}") from None


async def pair(inviter: Service, joiner: Service) -> None:
    """Two organisations pair: invitation, equal codes, both confirm, both connected, direct circle active."""
    invitation = (await inviter.invite(LOCAL)).invitation
    theirs = await joiner.pair(LOCAL, invitation)
    own = {peer.code: peer for peer in (await inviter.peers(LOCAL)).peers}
    assert theirs.code in own
    await inviter.confirm_peer(LOCAL, own[theirs.code].node_id)
    await joiner.confirm_peer(LOCAL, theirs.node_id)

    async def settled() -> bool:
        states = [
            (peer.state, peer.connected)
            for service, node in ((inviter, own[theirs.code].node_id), (joiner, theirs.node_id))
            for peer in [await service.peer(LOCAL, node)]
        ]
        direct = [
            any(c.kind == "direct" and c.state == "active" and node in {m.node_id for m in c.members} for c in circles)
            for service, node in ((inviter, own[theirs.code].node_id), (joiner, theirs.node_id))
            for circles in [(await service.circles(LOCAL)).circles]
        ]
        return all(state == ("verified", True) for state in states) and all(direct)

    await until(settled, "both verified, connected, and in a direct circle")
