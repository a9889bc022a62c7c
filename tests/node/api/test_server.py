"""The listening server: its address, its token, and what it does with connections that only wait."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.api import guards
from almenara.node.api import server as server_module
from almenara.node.api.server import Server, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server(service: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """The real server on a free port, without a panel."""
    monkeypatch.setattr(server_module, "mount_panels", lambda *_: None)
    monkeypatch.setattr(server_module, "KEEPALIVE_S", 0.2)
    config = SimpleNamespace(panel=SimpleNamespace(listen="127.0.0.1:0", hosts=[]))
    started = await start(service, config)  # type: ignore[arg-type]
    yield started
    await started.close()


async def speak(server: Server, request: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_address_is_the_real_one_and_the_token_opens_it(server: Server) -> None:
    request = (
        "GET /api/v1/peers HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n"
    ).format(server.url.removeprefix("http://"), server.token)
    head, _, body = (await speak(server, request.encode())).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body) == {"peers": []}


async def test_the_token_is_new_at_each_start(server: Server, service: Any) -> None:
    config = SimpleNamespace(panel=SimpleNamespace(listen="127.0.0.1:0", hosts=[]))
    other = await start(service, config)  # type: ignore[arg-type]
    await other.close()
    assert other.token != server.token
    assert len(other.token) >= 43  # 256 bits


async def test_a_connection_that_only_waits_is_closed(server: Server) -> None:
    """Headers that never end would otherwise hold a connection for an hour."""
    assert await speak(server, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") == b""


async def test_two_hosts_or_none_are_refused(server: Server, service: Any) -> None:
    end = b"Connection: close\r\n\r\n"
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        answer = await speak(server, b"GET /api/v1/status HTTP/1.1\r\n" + hosts + end)
        assert answer.split()[1] in {b"400", b"421"}
    assert not service.asked


async def test_malformed_requests_reach_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await speak(server, b"\x00\x01\x02 junk\r\n\r\n")
    assert not caplog.records


async def test_an_address_in_use_is_an_error_of_ours(server: Server, service: Any) -> None:
    listen = server.url.removeprefix("http://")
    config = SimpleNamespace(panel=SimpleNamespace(listen=listen, hosts=[]))
    with pytest.raises(OSError, match="address already in use"):
        await start(service, config)  # type: ignore[arg-type]


async def test_a_body_that_never_ends_is_given_up(
    server: Server, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slow sender does not hold a handler for ever: aiohttp itself has no time-out for bodies."""
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.05)
    head = (
        "POST /api/v1/cases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: 100\r\n\r\n"
    )
    answer = await speak(server, head.encode() + b'{"title":')
    assert answer.startswith(b"HTTP/1.1 408")
    assert not service.asked
