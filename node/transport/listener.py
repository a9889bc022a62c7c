"""The peer port: a path for pinned peers, a path for pairing while an invitation is open, and nothing for anybody else.

Nothing means no byte: aiohttp's own error pages are replaced by dropping the connection, and none of its loggers,
which write client addresses, is used.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from aiohttp import web

from almenara.node.transport.acceptor import Acceptor, Visitor
from almenara.node.transport.errors import TransportError
from almenara.node.transport.link import (
    CLOSE_SECONDS,
    FRAME_CAP,
    PAIRING_CAP,
    PAIRING_PATH,
    SESSION_PATH,
    SUBPROTOCOL,
    Link,
    PairingChannel,
    heartbeat,
)

if TYPE_CHECKING:
    from almenara.node.transport.door import Door

log = structlog.get_logger()

OnLink = Callable[[Link], Awaitable[None]]
OnPairing = Callable[[PairingChannel], Awaitable[None]]

_SILENT = logging.getLogger("almenara.peer-port")  # aiohttp logs client addresses, and tracebacks with content
_SILENT.disabled = True
_SHUTDOWN_SECONDS = 2.0  # for handlers to end after their links were cut


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerLimits:
    """What the peer port spends on those it does not know (PROTOCOL §2), and on those it does."""

    handshake_seconds: float = 10.0
    header_seconds: float = 10.0  # from the end of the handshake to the end of the request's headers
    pairing_seconds: float = 10.0  # for the whole pairing exchange
    strangers: int = 4  # connections without a certificate at a time
    unknown_per_origin: int = 16  # connections of one address that have not shown a pinned certificate
    unknown_total: int = 128  # the same for all addresses
    links_per_peer: int = 2  # a new one and the one it replaces


class _Refused(ConnectionError):  # noqa: N818 -- nothing failed; it is what we do
    """The request ends here; aiohttp takes a ConnectionError for a client gone and writes nothing."""


class _Connection(web.RequestHandler, Visitor):
    """aiohttp's HTTP protocol, with silence in place of every error page."""

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self.known = False
        self.counted = False
        self.lost = asyncio.Event()
        self._listener_server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.known = self._listener_server.door.peer_of(transport.get_extra_info("ssl_object")) is not None
        super().connection_made(transport)
        if not self.known and not self._listener_server.admit_stranger(self):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._listener_server.release_stranger(self)
        self.lost.set()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> NoReturn:
        if exc is not None and not isinstance(exc, (ConnectionError, TransportError)) and status == 500:
            log.error("link-handler-failed", error=type(exc).__name__)
        raise _Refused


class _Server(web.Server):
    """Makes the connections and counts the strangers among them."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], door: Door, limits: ListenerLimits
    ) -> None:
        super().__init__(
            handler,
            keepalive_timeout=limits.header_seconds,  # bounds the first request's headers too, an hour by default
            auto_decompress=False,
            access_log=None,
            logger=_SILENT,
            lingering_time=0,
        )
        self.door = door
        self._limits = limits
        self._strangers: set[_Connection] = set()

    def __call__(self) -> _Connection:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def cut(self) -> None:
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def admit_stranger(self, connection: _Connection) -> bool:
        if len(self._strangers) >= self._limits.strangers:
            return False
        self._strangers.add(connection)
        return True

    def release_stranger(self, connection: _Connection) -> None:
        self._strangers.discard(connection)


class Listener:
    """Serves the peer port.

    `on_link` and `on_pairing` own their connection: it closes when they return.
    """

    def __init__(
        self,
        door: Door,
        *,
        on_link: OnLink,
        on_pairing: OnPairing,
        limits: ListenerLimits | None = None,
    ) -> None:
        self._door = door
        self._on_link = on_link
        self._on_pairing = on_pairing
        self._limits = limits or ListenerLimits()
        self._server: _Server | None = None
        self._acceptor: Acceptor | None = None
        self._links: Counter[bytes] = Counter()

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises AddressUnavailable."""
        server = _Server(self._serve, self._door, self._limits)
        acceptor = Acceptor(
            self._door.server_context,
            server,
            handshake_seconds=self._limits.handshake_seconds,
            unknown_per_origin=self._limits.unknown_per_origin,
            unknown_total=self._limits.unknown_total,
        )
        await acceptor.start(host, port)
        self._server, self._acceptor = server, acceptor

    @property
    def port(self) -> int:
        """The port in use, once started."""
        if self._acceptor is None:
            raise RuntimeError("the listener has not been started")
        return self._acceptor.port

    async def close(self) -> None:
        """Stop listening, cut every connection and wait shortly for the handlers."""
        if self._acceptor is not None:
            await self._acceptor.close()
        if self._server is not None:
            self._server.cut()
            await self._server.shutdown(_SHUTDOWN_SECONDS)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        peer = self._peer_of(request)
        if peer is not None and request.raw_path == SESSION_PATH:
            return await self._serve_session(request, peer)
        if peer is None and request.raw_path == PAIRING_PATH and self._door.strangers_allowed:
            return await self._serve_pairing(request)
        raise _Refused

    async def _serve_session(self, request: web.BaseRequest, peer: bytes) -> web.StreamResponse:
        if self._links[peer] >= self._limits.links_per_peer:
            raise _Refused
        self._links[peer] += 1
        try:
            ws = await _open(request, FRAME_CAP)
            async with Link(ws, door=self._door, peer=peer, inbound=True) as link:
                await self._on_link(link)
        finally:
            self._links[peer] -= 1
        return ws

    async def _serve_pairing(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        async with asyncio.timeout(self._limits.pairing_seconds) as limit:

            def keep() -> None:
                limit.reschedule(None)
                if self._server is not None and isinstance(connection, _Connection):
                    self._server.release_stranger(connection)

            ws = await _open(request, PAIRING_CAP)
            async with PairingChannel(ws, keep=keep) as channel:
                await self._on_pairing(channel)
        return ws

    def _peer_of(self, request: web.BaseRequest) -> bytes | None:
        transport = request.transport
        return self._door.peer_of(transport.get_extra_info("ssl_object")) if transport is not None else None


async def _open(request: web.BaseRequest, max_bytes: int) -> web.WebSocketResponse:
    """Upgrade to a websocket; anything but a well-formed request for our subprotocol is refused without an answer."""
    ws = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        heartbeat=heartbeat(),
        protocols=(SUBPROTOCOL,),
        compress=False,
        max_msg_size=max_bytes,
    )
    if request.method != "GET" or request.headers.getall("Sec-WebSocket-Protocol", []) != [SUBPROTOCOL]:
        raise _Refused
    if not ws.can_prepare(request):
        raise _Refused
    ws.headers["Server"] = "almenara"  # in place of the versions of Python and aiohttp
    await ws.prepare(request)
    return ws
