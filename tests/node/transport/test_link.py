"""Links between two nodes that know each other."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from almenara.node.transport.errors import CloseReason, LinkClosed, NotPinned
from almenara.node.transport.sockets import NOTSENT_LOWAT, WRITE_BUFFER
from almenara.protocol.limits import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import Tower

    Build = Callable[..., Awaitable[Tower]]


async def test_frames_travel_both_ways_and_both_ends_name_their_peer(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    other = await a.links.get()
    assert (link.peer, link.inbound) == (a.id, False)
    assert (other.peer, other.inbound) == (b.id, True)
    await link.send(b"fire on the tower")
    assert await link.receive() == b"fire on the tower"
    await link.close()


async def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_ends_the_link(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    await link.send(bytes(MAX_FRAME))
    assert await link.receive() == bytes(MAX_FRAME)
    await link.send(bytes(MAX_FRAME + 1))
    with pytest.raises(LinkClosed):
        await link.receive()
    error = await a.ended.get()
    assert isinstance(error, LinkClosed)
    assert error.reason is CloseReason.TOO_LONG


async def test_an_orderly_close_ends_the_iteration_and_later_sends_are_refused(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    await link.close()
    await link.close()
    assert await a.ended.get() is None
    assert [frame async for frame in link] == []
    with pytest.raises(LinkClosed) as caught:
        await link.send(b"late")
    assert caught.value.reason is CloseReason.CLOSED


async def test_closing_ends_a_reader_in_another_task(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    for dialled in (True, False):
        outward = await b.dialer.dial(a.id, a.endpoint)
        inward = await a.links.get()
        reader = asyncio.create_task(outward.receive())
        await asyncio.sleep(0)
        await (outward if dialled else inward).close()
        assert await reader is None
        assert await a.ended.get() is None


async def test_text_is_refused_with_its_reason(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    await link._ws.send_str("not bytes")  # what another implementation might do
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert caught.value.reason is CloseReason.REFUSED
    error = await a.ended.get()
    assert isinstance(error, LinkClosed)
    assert error.reason is CloseReason.NOT_BINARY


async def test_a_connection_that_breaks_raises_lost(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    other = await a.links.get()
    other.cut()
    with pytest.raises(LinkClosed) as caught:
        await link.receive()
    assert caught.value.reason is CloseReason.LOST


async def test_unpinning_cuts_live_links_of_both_directions_at_once(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    outward = await a.dialer.dial(b.id, b.endpoint)
    at_b = await b.links.get()
    inward = await b.dialer.dial(a.id, a.endpoint)
    at_a = await a.links.get()
    waiting = asyncio.create_task(outward.receive())
    await asyncio.sleep(0)
    a.door.unpin(b.id)
    assert outward.closed
    assert at_a.closed
    for link in (outward, at_a):
        with pytest.raises(LinkClosed) as caught:
            await link.send(b"never")
        assert caught.value.reason is CloseReason.CUT
    with pytest.raises(LinkClosed):
        await waiting
    async with asyncio.timeout(1):
        assert isinstance(await b.ended.get(), LinkClosed)
        with pytest.raises(LinkClosed):
            await inward.receive()
    assert at_b.closed


async def test_an_unpinned_peer_is_not_dialled(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    a.door.unpin(b.id)
    with pytest.raises(NotPinned):
        await a.dialer.dial(b.id, b.endpoint)


async def test_replacing_a_peers_certificate_cuts_the_links_under_the_old_one(
    pair: tuple[Tower, Tower], build: Build
) -> None:
    a, b = pair
    renewed = await build("renewed")
    link = await b.dialer.dial(a.id, a.endpoint)
    at_a = await a.links.get()
    a.door.pin(b.id, renewed.identity.cert_der)
    assert at_a.closed
    with pytest.raises(LinkClosed):
        await link.receive()


async def test_small_frames_leave_at_once_and_little_waits_in_the_kernel(pair: tuple[Tower, Tower]) -> None:
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    for end in (link, await a.links.get()):
        assert end._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        if sys.platform == "linux":
            assert end._sock.getsockopt(socket.IPPROTO_TCP, 25) == NOTSENT_LOWAT  # Python names it since 3.13 only
        transport = end._ws._writer.transport
        for layer in (transport, transport._ssl_protocol._transport):
            assert layer.get_write_buffer_limits()[1] == WRITE_BUFFER
    await link.close()


async def test_every_frame_waits_while_the_line_is_full(pair: tuple[Tower, Tower]) -> None:
    """What waits in this process is never more than the buffers and the one frame that filled them."""
    a, b = pair
    link = await b.dialer.dial(a.id, a.endpoint)
    at_a = await a.links.get()
    at_a._ws._payload_writer.transport.pause_reading()
    transport = link._ws._writer.transport

    async def send_for_ever() -> None:
        while True:
            await link.send(bytes(4_096))

    sending = asyncio.create_task(send_for_ever())
    while not link._ws._writer.protocol._paused:  # noqa: ASYNC110 - the kernel fills up, and nobody tells
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not sending.done()
    below = transport._ssl_protocol._transport
    assert transport.get_write_buffer_size() + below.get_write_buffer_size() < 3 * (WRITE_BUFFER + 4_200)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    at_a.cut()
    link.cut()
    await link.close()  # frees what aiohttp holds of it


async def test_a_peer_that_reads_nothing_stalls_only_its_own_sender(
    pair: tuple[Tower, Tower], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    monkeypatch.setattr("almenara.node.transport.link.SEND_SECONDS", 0.2)
    link = await b.dialer.dial(a.id, a.endpoint)
    at_a = await a.links.get()
    at_a._ws._payload_writer.transport.pause_reading()
    with pytest.raises(LinkClosed) as caught:  # noqa: PT012 - which frame fills the line is the kernel's affair
        for _ in range(1000):
            await link.send(bytes(MAX_FRAME))
    assert caught.value.reason is CloseReason.STALLED
