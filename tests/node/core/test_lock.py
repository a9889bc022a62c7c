"""Locking a real node: keys, database and connections go, and only the passphrase brings them back (SCHEMAS §7)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from almenara.crypto import vault
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from tests.support.nodes import PASSPHRASE, make_home, pair, running, until

if TYPE_CHECKING:
    from pathlib import Path

    from almenara.node.service import Service


@pytest.fixture(autouse=True)
def quick_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with 256 MiB is tested elsewhere."""
    monkeypatch.setattr(vault, "MEMORY_KIB", 1024)


def listens(service: Service) -> bool:
    """Whether anybody answers at its peer port."""
    host, port = service.config.peer.listen.rsplit(":", 1)
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


async def test_lock_drops_everything_and_unlock_brings_it_back(tmp_path: Path) -> None:
    """The peer sees the connection end; a wrong passphrase changes nothing; afterwards both are connected again."""
    async with running(make_home(tmp_path / "a", "alpha")) as alpha, running(make_home(tmp_path / "b", "beta")) as beta:
        await pair(alpha, beta)
        (peer,) = (await beta.peers(LOCAL)).peers

        async def connected(expected: bool) -> bool:
            return (await beta.peer(LOCAL, peer.node_id)).connected is expected

        await alpha.lock(LOCAL)
        assert alpha.locked
        assert not listens(alpha)
        await until(lambda: connected(expected=False), "beta sees that alpha went")
        with pytest.raises(Problem) as caught:
            await alpha.peers(LOCAL)
        assert caught.value.kind is Kind.LOCKED
        with pytest.raises(Problem) as caught:
            await alpha.unlock("not this passphrase")
        assert caught.value.kind is Kind.WRONG_PASSPHRASE
        assert alpha.locked
        await alpha.unlock(PASSPHRASE)
        await until(lambda: connected(expected=True), "both connected again")
        assert (await alpha.status(LOCAL)).state == "ready"


async def test_two_who_unlock_at_once_open_one_node(tmp_path: Path) -> None:
    """The second waits and finds it open."""
    async with running(make_home(tmp_path / "a", "alpha")) as alpha:
        await alpha.lock(LOCAL)
        await asyncio.gather(alpha.unlock(PASSPHRASE), alpha.unlock(PASSPHRASE))
        assert listens(alpha)
        assert alpha.first_code is not None
