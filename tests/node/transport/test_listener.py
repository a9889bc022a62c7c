"""What the peer port spends on those it does not know: time, connections, bytes, and no word in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from almenara.crypto.certificate import certificate_digest
from almenara.node.transport.errors import AddressUnavailable, CloseReason, LinkClosed, Unreachable
from almenara.node.transport.listener import ListenerLimits
from almenara.protocol.limits import MAX_PAIRING_MESSAGE

from .conftest import bytes_until_end
from .test_door import PAIR, SESSION, heard_by, stranger_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import Tower

    Build = Callable[..., Awaitable[Tower]]


async def open_tower(build: Build, limits: ListenerLimits | None = None) -> Tower:
    """A tower with an open invitation."""
    tower = await build("a", limits)
    tower.door.open_for_strangers(True)
    return tower


def digest_of(tower: Tower) -> bytes:
    return certificate_digest(tower.identity.cert_der)


async def test_headers_that_trickle_in_end_with_the_connection_and_peers_pass_meanwhile(build: Build) -> None:
    tower = await open_tower(build, ListenerLimits(header_seconds=0.3))
    peer = await build("b")
    tower.knows(peer)
    peer.knows(tower)
    reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=stranger_context())

    async def trickle() -> None:
        for byte in PAIR:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    slow = asyncio.create_task(trickle())
    link = await peer.dialer.dial(tower.id, tower.endpoint)
    await link.close()
    assert await bytes_until_end(reader) == b""
    slow.cancel()
    writer.close()


async def test_a_body_that_never_comes_does_not_hold_the_connection(build: Build) -> None:
    tower = await open_tower(build)
    request = PAIR.replace(b"Host: x", b"Host: x\r\nContent-Length: 1000")
    head = await asyncio.wait_for(heard_by(tower, stranger_context(), request.replace(b"pair", b"other")), 5)
    assert head == b""


async def test_a_connection_that_never_starts_tls_is_dropped(build: Build) -> None:
    tower = await build("a", ListenerLimits(handshake_seconds=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port)
    assert await bytes_until_end(reader) == b""
    writer.close()


async def test_unknown_connections_of_one_address_are_capped_and_their_places_come_back(build: Build) -> None:
    tower = await build("a", ListenerLimits(handshake_seconds=2, unknown_per_origin=3))
    idle = [await asyncio.open_connection("127.0.0.1", tower.listener.port) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port)
    assert await bytes_until_end(reader) == b""
    assert not any(idle_reader.at_eof() for idle_reader, _ in idle)
    for idle_reader, _ in idle:
        await bytes_until_end(idle_reader)
    for each in (*(idle_writer for _, idle_writer in idle), writer):
        each.close()
    peer = await build("b")
    tower.knows(peer)
    peer.knows(tower)
    await (await peer.dialer.dial(tower.id, tower.endpoint)).close()


async def test_peers_do_not_count_as_unknown_once_their_certificate_was_seen(build: Build) -> None:
    tower = await build("a", ListenerLimits(unknown_per_origin=1))
    links = []
    for name in ("p", "q", "r"):
        peer = await build(name)
        tower.knows(peer)
        peer.knows(tower)
        links.append(await peer.dialer.dial(tower.id, tower.endpoint))
    for link in links:
        await link.close()


async def test_one_peer_holds_at_most_two_links(build: Build) -> None:
    tower, peer = await build("a"), await build("b")
    tower.knows(peer)
    peer.knows(tower)
    links = [await peer.dialer.dial(tower.id, tower.endpoint) for _ in range(2)]
    with pytest.raises(Unreachable):
        await peer.dialer.dial(tower.id, tower.endpoint)
    for link in links:
        await link.close()
    await tower.ended.get()
    await (await peer.dialer.dial(tower.id, tower.endpoint)).close()


async def test_a_fifth_stranger_is_turned_away(build: Build) -> None:
    tower = await open_tower(build)
    visitor = await build("b")
    channels = [await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower)) for _ in range(4)]
    with pytest.raises(Unreachable):
        await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    await channels.pop().close()
    await tower.ended.get()
    await (await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))).close()
    for channel in channels:
        await channel.close()


async def test_a_pairing_channel_ends_after_its_time_unless_it_is_kept(build: Build) -> None:
    tower = await open_tower(build, ListenerLimits(pairing_seconds=1, strangers=1))
    visitor = await build("b")
    brief = await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    with pytest.raises(LinkClosed):  # noqa: PT012 - whichever of the two finds out first
        while True:
            await brief.send(b"still here")
            await brief.receive()
            await asyncio.sleep(0.05)
    kept = await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    await tower.channels.get()
    (await tower.channels.get()).keep()
    another = await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    await asyncio.sleep(1.1)
    await kept.send(b"still here")
    assert await kept.receive() == b"still here"
    with pytest.raises(LinkClosed):
        await another.receive()
    await kept.close()


async def test_a_stranger_may_send_twenty_kibibytes_in_all_and_not_one_more(build: Build) -> None:
    tower = await open_tower(build)
    visitor = await build("b")
    channel = await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    await channel.send(bytes(MAX_PAIRING_MESSAGE))
    assert await channel.receive() == bytes(MAX_PAIRING_MESSAGE)
    await channel.send(b"x")
    error = await tower.ended.get()
    assert isinstance(error, LinkClosed)
    assert error.reason is CloseReason.TOO_LONG
    await channel.close()
    channel = await visitor.dialer.dial_pairing(tower.endpoint, digest_of(tower))
    await channel.send(bytes(MAX_PAIRING_MESSAGE + 1))
    error = await tower.ended.get()
    assert isinstance(error, LinkClosed)
    assert error.reason is CloseReason.TOO_LONG
    await channel.close()


async def test_nothing_that_strangers_do_puts_an_address_into_the_log(
    build: Build, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    tower = await open_tower(build)
    for request in (PAIR, SESSION, PAIR.replace(b"almenara.1", b"chat"), b"\x00junk\r\n\r\n", b"GET /"):
        context = stranger_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port, ssl=context)
        writer.write(request)
        await asyncio.sleep(0.02)
        writer.transport.abort()
        reader.feed_eof()
    plain, writer = await asyncio.open_connection("127.0.0.1", tower.listener.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await bytes_until_end(plain)
    writer.close()
    await tower.listener.close()
    output = capsys.readouterr()
    assert "127.0.0.1" not in caplog.text + output.out + output.err


async def test_a_handler_that_fails_is_logged_by_its_type_alone_and_ends_only_its_link(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    tower, peer = await build("a"), await build("b")
    tower.knows(peer)
    peer.knows(tower)

    async def fail(_link: object) -> None:
        raise LookupError("the name of a person")

    tower.listener._on_link, works = fail, tower.listener._on_link
    link = await peer.dialer.dial(tower.id, tower.endpoint)
    with pytest.raises(LinkClosed):
        await link.receive()
    tower.listener._on_link = works
    await (await peer.dialer.dial(tower.id, tower.endpoint)).close()
    output = capsys.readouterr().out
    assert "LookupError" in output
    assert "the name of a person" not in output


async def test_an_address_in_use_is_a_typed_error(build: Build) -> None:
    a, b = await build("a"), await build("b")
    with pytest.raises(AddressUnavailable):
        await b.listener.start("127.0.0.1", a.listener.port)


async def test_closing_the_listener_ends_every_link(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    await a.listener.close()
    with pytest.raises(LinkClosed):
        await link.receive()
    with pytest.raises(Unreachable):
        await b.dialer.dial(a.id, a.endpoint)
