"""One connection to another node as the rest of the program sees it: whole messages, typed errors, no sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from random import SystemRandom
from typing import TYPE_CHECKING, Self

from aiohttp import ClientWebSocketResponse, WebSocketError, WSCloseCode, WSMessage, WSMsgType
from aiohttp.web import WebSocketResponse

from almenara.node.transport.errors import CloseReason, LinkClosed
from almenara.node.transport.sockets import drained, keep_little_unsent, tune
from almenara.protocol.limits import MAX_FRAME, MAX_PAIRING_MESSAGE

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable

    from almenara.node.transport.door import Door

SESSION_PATH = "/almenara/1/session"
PAIRING_PATH = "/almenara/1/pair"
SUBPROTOCOL = "almenara.1"

HEARTBEAT_SECONDS = 25.0  # with its spread not above the shortest idle time-out of routers and carriers, 30 s
HEARTBEAT_SPREAD = 0.2  # each connection has its own beat, so that links are not told, or joined, by a common one
CLOSE_SECONDS = 2.0  # how long an orderly close waits for the other side to say the same
SEND_SECONDS = 120.0  # one frame at 10 kbit/s, the slowest line worth keeping, takes 66 s

# aiohttp refuses a message of exactly its maximum (3.14.5), we accept one of exactly ours.
FRAME_CAP = MAX_FRAME + 1
PAIRING_CAP = MAX_PAIRING_MESSAGE + 1

Websocket = ClientWebSocketResponse | WebSocketResponse
_ORDERLY = (None, 0, WSCloseCode.OK, WSCloseCode.GOING_AWAY)


def heartbeat() -> float:
    """Draw the seconds after which a silent line is asked whether it lives; half as long later it is given up."""
    return HEARTBEAT_SECONDS * SystemRandom().uniform(1 - HEARTBEAT_SPREAD, 1 + HEARTBEAT_SPREAD)


class Channel:
    """Binary messages both ways over one websocket.

    Iterating ends when either side closes in order; everything else raises LinkClosed with its reason. One task may
    read while others send.
    """

    def __init__(self, ws: Websocket) -> None:
        self._ws = ws
        self._broken: CloseReason | None = None
        self._ended = False
        self._sock: TransportSocket | None = ws.get_extra_info("socket")
        if self._sock is not None:
            tune(self._sock)
        self._writer = getattr(ws, "_writer", None)
        keep_little_unsent(self._writer)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended or self._ws.closed

    async def send(self, message: bytes) -> None:
        """Hand one message over; waits while the line is full.

        Raises:
            LinkClosed: the link is over, or took no byte for SEND_SECONDS.

        """
        self._check()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._ws.send_bytes(message)
                await drained(self._writer)
        except (TimeoutError, ConnectionError) as error:
            self.cut(CloseReason.STALLED if isinstance(error, TimeoutError) else CloseReason.LOST)
            await self._ws.close()  # the line is gone; this frees what aiohttp holds of it
            raise LinkClosed(self._broken or CloseReason.CLOSED) from None

    async def receive(self) -> bytes | None:
        """Return the next message, or None once the channel was closed in order. Raises LinkClosed."""
        if not self._ended:
            message = await self._ws.receive()
            if message.type is WSMsgType.BINARY and not self._ended:
                return bytes(message.data)
            await self._end(message)
        if self._broken is not None:
            await self._ws.close()
            raise LinkClosed(self._broken)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.cut()
        await self.close()

    async def close(self) -> None:
        """Close in order, waiting at most CLOSE_SECONDS for the other side; closing twice is nothing."""
        self._finish()
        await self._ws.close()

    def cut(self, reason: CloseReason = CloseReason.CUT) -> None:
        """End the connection now, without a word to the other side."""
        self._break(reason)
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._ended:
            raise LinkClosed(self._broken or CloseReason.CLOSED)

    async def _end(self, message: WSMessage) -> None:
        """Sort out what came instead of a binary message."""
        if message.type is WSMsgType.TEXT:
            self._break(CloseReason.NOT_BINARY)
            await self._ws.close(code=WSCloseCode.UNSUPPORTED_DATA)
        elif message.type is WSMsgType.CLOSE and message.data in _ORDERLY:
            self._finish()
        elif message.type is WSMsgType.CLOSE:
            self._break(CloseReason.REFUSED)
        elif message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
            too_long = message.data.code == WSCloseCode.MESSAGE_TOO_BIG
            self._break(CloseReason.TOO_LONG if too_long else CloseReason.NOT_BINARY)
        elif not self._ended:
            self._break(CloseReason.LOST)

    def _break(self, reason: CloseReason) -> None:
        if not self._ended and self._broken is None:
            self._broken = reason
        self._finish()

    def _finish(self) -> None:
        self._ended = True


class Link(Channel):
    """A session's connection with one verified peer; unpinning the peer cuts it at once."""

    def __init__(self, ws: Websocket, *, door: Door, peer: bytes, inbound: bool) -> None:
        """Wrap an open websocket. Raises NotPinned if the peer was unpinned meanwhile."""
        super().__init__(ws)
        self.peer = peer  # the raw node id
        self.inbound = inbound  # the other side dialled
        self._unwatch = door.watch(peer, self.cut)

    def _finish(self) -> None:
        super()._finish()
        self._unwatch()


class PairingChannel(Channel):
    """A connection with a node that is not verified yet: 20 KiB from the other side in all, and little time."""

    def __init__(self, ws: Websocket, *, keep: Callable[[], None] | None = None) -> None:
        """`keep` lifts the listener's time limit."""
        super().__init__(ws)
        self._left = MAX_PAIRING_MESSAGE
        self._keep = keep

    def keep(self) -> None:
        """Let the connection live on: the other side proved that it holds the invitation and was in the exchange."""
        if self._keep is not None:
            self._keep()
            self._keep = None

    async def receive(self) -> bytes | None:
        message = await super().receive()
        if message is not None:
            self._left -= len(message)
            if self._left < 0:
                self.cut(CloseReason.TOO_LONG)
                raise LinkClosed(CloseReason.TOO_LONG)
        return message
