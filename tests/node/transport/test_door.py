"""Who gets in: hostile clients and servers against the door, over raw TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.certificate import certificate_digest, make_tls_identity
from almenara.node.transport.door import Door
from almenara.node.transport.errors import CertificateTaken, DialFault, Unreachable

from .conftest import PASSWORD, bytes_until_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .conftest import Tower

    Build = Callable[..., Awaitable[Tower]]

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: almenara.1\r\n\r\n"
)
SESSION = UPGRADE % b"/almenara/1/session"
PAIR = UPGRADE % b"/almenara/1/pair"


def stranger_context(pem: Path | None = None) -> ssl.SSLContext:
    """A client that trusts anybody, with a certificate of its own or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pem is not None:
        context.load_cert_chain(pem, password=lambda: PASSWORD)
    return context


@pytest.fixture
def own_pem(tmp_path: Path) -> Path:
    """A stranger's own certificate and key."""
    path = tmp_path / "stranger.pem"
    path.write_bytes(make_tls_identity(PASSWORD).pem)
    return path


async def heard_by(tower: Tower, context: ssl.SSLContext, request: bytes) -> bytes:
    """What the peer port says to somebody who speaks first, until it ends the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=context)
    except OSError:
        return b""
    try:
        writer.write(request)
        return await bytes_until_end(reader)
    finally:
        writer.close()


@pytest.mark.parametrize("request_bytes", [SESSION, PAIR, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"junk\r\n\r\n"])
async def test_a_stranger_without_certificate_gets_no_application_byte(build: Build, request_bytes: bytes) -> None:
    assert await heard_by(await build("a"), stranger_context(), request_bytes) == b""


@pytest.mark.parametrize("invitation_open", [False, True])
@pytest.mark.parametrize("request_bytes", [SESSION, PAIR])
async def test_a_stranger_with_its_own_certificate_gets_no_application_byte(
    build: Build, own_pem: Path, request_bytes: bytes, invitation_open: bool
) -> None:
    tower = await build("a")
    tower.door.open_for_strangers(invitation_open)
    assert await heard_by(tower, stranger_context(own_pem), request_bytes) == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        SESSION,
        UPGRADE % b"/almenara/1/pair?x=1",
        UPGRADE % b"//almenara/1/pair",
        PAIR.replace(b"GET", b"POST"),
        PAIR.replace(b"almenara.1", b"almenara.2"),
        PAIR.replace(b"almenara.1", b"almenara.1, almenara.1"),
        PAIR.replace(b"Version: 13", b"Version: 12"),
        PAIR.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"),
        PAIR.replace(b"Upgrade: websocket\r\n", b""),
        PAIR.replace(b"Host: x", b"Host: x\r\nHost: y"),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /almenara/1/pair HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        b"\x16\x03\x01 not HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_while_an_invitation_is_open_all_but_pairing_stays_silent(build: Build, request_bytes: bytes) -> None:
    tower = await build("a")
    tower.door.open_for_strangers(True)
    assert await heard_by(tower, stranger_context(), request_bytes) == b""


async def test_while_an_invitation_is_open_a_stranger_reaches_pairing_and_no_longer_when_it_is_closed(
    build: Build,
) -> None:
    tower, visitor = await build("a"), await build("b")
    digest = certificate_digest(tower.identity.cert_der)
    tower.door.open_for_strangers(True)
    channel = await visitor.dialer.dial_pairing(tower.endpoint, digest)
    await channel.send(b"hello")
    assert await channel.receive() == b"hello"
    await channel.close()
    tower.door.open_for_strangers(False)
    with pytest.raises(Unreachable) as caught:
        await visitor.dialer.dial_pairing(tower.endpoint, digest)
    assert caught.value.fault is DialFault.TURNED_AWAY


async def test_pairing_answers_without_naming_its_software(build: Build) -> None:
    tower = await build("a")
    tower.door.open_for_strangers(True)
    reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=stranger_context())
    writer.write(PAIR)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"ython" not in head
    assert b"aiohttp" not in head
    assert b"permessage-deflate" not in head


@pytest.mark.parametrize("request_bytes", [PAIR, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_pinned_peer_reaches_the_session_and_nothing_else(
    pair: tuple[Tower, Tower], request_bytes: bytes
) -> None:
    a, b = pair
    a.door.open_for_strangers(True)
    context = stranger_context()
    context.load_cert_chain(b.door._pem_path, password=lambda: PASSWORD)
    assert await heard_by(a, context, request_bytes) == b""


async def test_a_peer_pinned_while_listening_gets_in_and_an_unpinned_one_no_longer(build: Build) -> None:
    a, b = await build("a"), await build("b")
    b.knows(a)
    with pytest.raises(Unreachable):
        await b.dialer.dial(a.id, a.endpoint)
    a.knows(b)
    await (await b.dialer.dial(a.id, a.endpoint)).close()
    a.door.unpin(b.id)
    with pytest.raises(Unreachable) as caught:
        await b.dialer.dial(a.id, a.endpoint)
    assert caught.value.fault is DialFault.TURNED_AWAY


async def test_peers_with_equal_subjects_all_connect_whatever_the_order_of_pinning(build: Build) -> None:
    hub = await build("hub")
    others = [await build(name) for name in ("p", "q", "r")]
    for other in reversed(others):
        hub.knows(other)
    for other in others:
        other.knows(hub)
        link = await other.dialer.dial(hub.id, hub.endpoint)
        assert (await hub.links.get()).peer == other.id
        await link.close()
        back = await hub.dialer.dial(other.id, other.endpoint)
        await back.close()


async def test_a_wrong_server_certificate_ends_the_dial_before_an_application_byte(build: Build) -> None:
    a, b, impostor = await build("a"), await build("b"), await build("i")
    b.knows(a)
    impostor.knows(b)
    with pytest.raises(Unreachable) as caught:
        await b.dialer.dial(a.id, impostor.endpoint)
    assert caught.value.fault is DialFault.WRONG_CERTIFICATE
    assert impostor.links.empty()


async def test_a_pairing_dial_accepts_only_the_certificate_the_invitation_names(build: Build) -> None:
    a, b, impostor = await build("a"), await build("b"), await build("i")
    impostor.door.open_for_strangers(True)
    with pytest.raises(Unreachable) as caught:
        await b.dialer.dial_pairing(impostor.endpoint, certificate_digest(a.identity.cert_der))
    assert caught.value.fault is DialFault.WRONG_CERTIFICATE
    assert impostor.channels.empty()


async def test_sessions_are_never_resumed(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    context = stranger_context(b.door._pem_path)

    def connect(session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", a.listener.port)) as raw,
            context.wrap_socket(raw, session=session) as sock,
        ):
            sock.sendall(SESSION)
            heard = sock.recv(4096)
            assert not sock.session_reused
            return heard, sock.session

    heard, first = await asyncio.to_thread(connect, None)
    assert heard.startswith(b"HTTP/1.1 101 ")
    assert first is None or not first.has_ticket
    heard, _ = await asyncio.to_thread(connect, first)
    assert heard.startswith(b"HTTP/1.1 101 ")
    a.door.unpin(b.id)
    with contextlib.suppress(OSError):
        heard = b""
        heard, _ = await asyncio.to_thread(connect, first)
    assert heard == b""


async def test_tls_below_1_3_is_refused(build: Build) -> None:
    context = stranger_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tower = await build("a")
    tower.door.open_for_strangers(True)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=context)


async def test_a_wrong_clock_breaks_nothing_because_certificates_are_always_in_time(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    shown = link._ws.get_extra_info("ssl_object").getpeercert()
    assert shown["notBefore"] == "Jan  1 00:00:00 1970 GMT"
    assert shown["notAfter"] == "Dec 31 23:59:59 9999 GMT"
    await link.close()


async def test_a_dial_names_nobody_in_clear(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    named: list[str | None] = []
    a.door._server_context().sni_callback = lambda _, name, __: named.append(name)
    link = await b.dialer.dial(a.id, f"localhost:{a.listener.port}")
    await link.close()
    assert named == [None]


def test_one_certificate_cannot_stand_for_two_nodes(tmp_path: Path) -> None:
    own = make_tls_identity(PASSWORD)
    pem = tmp_path / "own.pem"
    pem.write_bytes(own.pem)
    door = Door(pem, lambda: PASSWORD)
    other = make_tls_identity(PASSWORD).cert_der
    door.pin(b"a" * 32, other)
    door.pin(b"a" * 32, other)
    with pytest.raises(CertificateTaken):
        door.pin(b"b" * 32, other)
    with pytest.raises(CertificateTaken):
        door.pin(b"b" * 32, own.cert_der)


def test_a_wrong_key_password_is_found_at_once(tmp_path: Path) -> None:
    pem = tmp_path / "own.pem"
    pem.write_bytes(make_tls_identity(PASSWORD).pem)
    with pytest.raises(ssl.SSLError):
        Door(pem, lambda: b"another")


async def test_whoever_came_in_while_an_invitation_was_open_is_not_served_after_it_closed(build: Build) -> None:
    tower = await build("a")
    tower.door.open_for_strangers(True)
    reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=stranger_context())
    await asyncio.sleep(0.05)  # for the server's end of the handshake
    tower.door.open_for_strangers(False)
    writer.write(PAIR)
    assert await bytes_until_end(reader) == b""
    writer.close()
