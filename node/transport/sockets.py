"""Options of the TCP sockets under every link, and the sockets a node listens on."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, Any

from almenara.node.transport.errors import AddressUnavailable

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

# Bytes that may wait unsent in the kernel. Without it a critical frame stands behind seconds of routine ones that
# were already handed over (measured on a 1 Mbit/s line: 24 s, with it 0.6 s).
NOTSENT_LOWAT = 16 * 1024
WRITE_BUFFER = 16 * 1024  # bytes that may wait in each layer of asyncio above the kernel, for the same reason
_LINUX_NOTSENT_LOWAT = 25  # the option's number; Python names it since 3.13 only
BACKLOG = 64  # connections the kernel keeps before we accept them; a burst of reconnecting peers fits


def tune(sock: socket.socket | TransportSocket) -> None:
    """Send small frames at once, and keep little unsent in the kernel where the platform has the option."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", _LINUX_NOTSENT_LOWAT if sys.platform == "linux" else None)
    if option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, NOTSENT_LOWAT)


def keep_little_unsent(writer: Any) -> None:
    """Let no more than WRITE_BUFFER wait in TLS, and as much in the transport below; `writer` is aiohttp's.

    asyncio has no public way to the transport below. Where a later version has other insides, its own buffers stay,
    and a critical frame only waits longer.
    """
    transport = getattr(writer, "transport", None)
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    for layer in (transport, below):
        if layer is not None:
            layer.set_write_buffer_limits(high=WRITE_BUFFER)


async def drained(writer: Any) -> None:
    """Wait while those buffers are full: aiohttp does so only every 64 KiB, and has no option on the client's side."""
    protocol: Any = getattr(writer, "protocol", None)
    if getattr(protocol, "_paused", False):
        await protocol._drain_helper()  # noqa: SLF001


def origin(address: str) -> str:
    """Return what the cap per address counts: an IPv4 address, or the /64 one IPv6 host can roam in."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Bind and listen on every address the host name stands for.

    Raises:
        AddressUnavailable: one of them cannot be had.

    """
    loop = asyncio.get_running_loop()
    made: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, proto, _, address in dict.fromkeys(found):
            made.append(_listening(socket.socket(family, kind, proto), address))
    except OSError as error:
        for sock in made:
            sock.close()
        raise AddressUnavailable(f"the listening address cannot be used: {error.strerror or 'unknown'}") from None
    return made


def _listening(sock: socket.socket, address: object) -> socket.socket:
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type] # getaddrinfo's own address for this family
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
