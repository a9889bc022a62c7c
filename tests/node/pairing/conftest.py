"""Whole nodes as far as pairing goes: real keys, real TLS on loopback, a store that survives a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.certificate import make_tls_identity
from almenara.crypto.identity import RootKeys
from almenara.crypto.sealing import PrekeySecret
from almenara.crypto.signing import SigningKey
from almenara.node import pairing as pairing_module
from almenara.node.pairing import Own, Pairing
from almenara.node.transport.dialer import Dialer
from almenara.node.transport.door import Door
from almenara.node.transport.listener import Listener, ListenerLimits
from almenara.protocol.card import encode_introduction, sign_card, sign_prekey, sign_profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from almenara.node.pairing import PairingEnd
    from almenara.node.transport.link import Link
    from almenara.protocol.card import Introduction

PASSWORD = b"a password from the vault"
MINUTE_MS = 60_000


class MemoryStore:
    """What a database does for pairing."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    async def load(self) -> list[bytes]:
        return list(self.rows.values())

    async def save(self, invitation_id: bytes, pending: bytes) -> None:
        self.rows[invitation_id] = pending

    async def delete(self, invitation_id: bytes) -> None:
        self.rows.pop(invitation_id, None)


class Organisation:
    """One node. What its callbacks heard is kept in lists; `happened` wakes who waits for more."""

    def __init__(self, name: str, folder: Path, certificate: bytes | None = None) -> None:
        self.name = name
        self.now_ms = 29_800_000 * MINUTE_MS
        self.store = MemoryStore()
        self.codes: list[tuple[bytes, Introduction, str]] = []
        self.paired: list[tuple[bytes, Introduction, bool]] = []
        self.ended: list[tuple[bytes, PairingEnd]] = []
        self.links: list[bytes] = []
        self.happened = asyncio.Event()
        self.port = 0
        self.limits = ListenerLimits()
        self.pem = folder / f"{name}.pem"
        identity = make_tls_identity(PASSWORD)
        self.pem.write_bytes(identity.pem)
        self.certificate = identity.cert_der
        root, key, prekey = RootKeys.generate(), SigningKey.generate(), PrekeySecret.generate()
        self.id = root.node_id.raw
        card = sign_card(
            root=root,
            counter=1,
            op_sign=key.public,
            tls_cert=certificate or identity.cert_der,
            endpoints=["127.0.0.1:7790"],
            issued=1,
            expires=2,
        )
        profile = sign_profile(node_id=root.node_id, issued=1, name=name, kind="organisation", country="KE", key=key)
        signed = sign_prekey(node_id=root.node_id, public=prekey.public, issued=1, key=key)
        self.own = Own(introduction=encode_introduction(card, profile, signed), key=key)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, or start again on the same port with what the store kept."""
        self.door = Door(self.pem, lambda: PASSWORD)
        self.dialer = Dialer(self.door)
        self.pairing = Pairing(
            door=self.door,
            dialer=self.dialer,
            store=self.store,
            own=lambda: self.own,
            clock=lambda: self.now_ms,
            on_code=self._on_code,
            on_paired=self._on_paired,
            on_ended=self._on_ended,
        )
        self.listener = Listener(self.door, on_link=self._on_link, on_pairing=self.pairing.serve, limits=self.limits)
        await self.pairing.start()
        await self.listener.start("127.0.0.1", self.port)
        self.port = self.listener.port

    async def stop(self) -> None:
        await self.pairing.close()
        await self.dialer.close()
        await self.listener.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that callbacks or the store bring about."""
        while not condition():
            self.happened.clear()
            try:
                async with asyncio.timeout(0.05):
                    await self.happened.wait()
            except TimeoutError:
                continue

    async def _on_code(self, node_id: bytes, introduction: Introduction, code: str) -> None:
        self.codes.append((node_id, introduction, code))
        self.happened.set()

    async def _on_paired(self, node_id: bytes, introduction: Introduction, initiator: bool) -> None:
        self.paired.append((node_id, introduction, initiator))
        self.happened.set()

    async def _on_ended(self, node_id: bytes, end: PairingEnd) -> None:
        self.ended.append((node_id, end))
        self.happened.set()

    async def _on_link(self, link: Link) -> None:
        self.links.append(link.peer)
        self.happened.set()
        async for frame in link:
            await link.send(frame)


@pytest.fixture
async def build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[Organisation]]]:
    """Make started organisations; all are stopped at the end."""
    monkeypatch.setattr(pairing_module, "RETRY_BASE_SECONDS", 0.02)
    monkeypatch.setattr(pairing_module, "RETRY_CAP_SECONDS", 0.1)
    made: list[Organisation] = []

    async def make(name: str, certificate: bytes | None = None) -> Organisation:
        organisation = Organisation(name, tmp_path, certificate)
        await organisation.start()
        made.append(organisation)
        return organisation

    yield make
    for organisation in made:
        await organisation.stop()


@pytest.fixture
async def two(build: Callable[..., Awaitable[Organisation]]) -> tuple[Organisation, Organisation]:
    """An inviter and a joiner."""
    return await build("alpha"), await build("beta")
