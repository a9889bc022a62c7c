"""Dialling: every way it fails has its own fault, and no server leads the dialer anywhere else."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from almenara.node.transport.dialer import Dialer
from almenara.node.transport.errors import DialFault, EndpointMalformed, NotPinned, Unreachable

from .conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .conftest import Tower

    Build = Callable[..., Awaitable[Tower]]


@asynccontextmanager
async def server_that_answers(tower: Tower, answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A TLS server with the tower's own certificate that gives one answer to whatever comes; None never answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tower.door._pem_path, password=lambda: PASSWORD)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def fault_of(tower: Tower, peer: Tower, endpoint: str) -> DialFault:
    with pytest.raises(Unreachable) as caught:
        await tower.dialer.dial(peer.id, endpoint)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value.fault


async def test_a_peer_cannot_redirect_a_dial(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    async with server_that_answers(b, b"") as (trap, trapped):
        answer = f"HTTP/1.1 302 Found\r\nLocation: https://{trap}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with server_that_answers(a, answer) as (endpoint, heard):
            assert await fault_of(b, a, endpoint) is DialFault.TURNED_AWAY
        assert len(heard) == 1
        assert trapped == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
async def test_a_server_that_does_not_upgrade_is_a_turned_away_dial(pair: tuple[Tower, Tower], answer: bytes) -> None:
    a, b = pair
    async with server_that_answers(a, answer) as (endpoint, _):
        assert await fault_of(b, a, endpoint) is DialFault.TURNED_AWAY


async def test_a_server_that_never_answers_times_out(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    b.dialer = Dialer(b.door, dial_seconds=0.3)
    async with server_that_answers(a, None) as (endpoint, _):
        assert await fault_of(b, a, endpoint) is DialFault.TIMED_OUT
    await b.dialer.close()


async def test_a_dial_says_nothing_of_its_software_and_asks_for_no_compression(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    async with server_that_answers(a, b"") as (endpoint, heard):
        await fault_of(b, a, endpoint)
    assert b"ython" not in heard[0]
    assert b"aiohttp" not in heard[0]
    assert b"xtensions" not in heard[0]


async def test_a_closed_port_gives_no_answer(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    endpoint = a.endpoint
    await a.listener.close()
    assert await fault_of(b, a, endpoint) is DialFault.NO_ANSWER


async def test_a_name_that_does_not_exist_says_so(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    assert await fault_of(b, a, "node.invalid:7790") is DialFault.NO_SUCH_NAME


async def test_a_malformed_endpoint_and_an_unknown_peer_are_refused_before_dialling(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    with pytest.raises(EndpointMalformed):
        await b.dialer.dial(a.id, "http://127.0.0.1")
    with pytest.raises(NotPinned):
        await b.dialer.dial(b"?" * 32, a.endpoint)
