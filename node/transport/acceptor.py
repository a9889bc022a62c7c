"""Accepting connections: the TLS handshake under a time limit, and a cap on how many may be unknown at a time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import Counter
from typing import TYPE_CHECKING

from almenara.node.transport.sockets import listening_sockets, origin, tune

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Iterator

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_SECONDS = 1.0  # before accepting again when the system has no descriptor or memory left
_SHUTDOWN_SECONDS = 2.0  # for the TLS close of the other side


class Visitor(asyncio.Protocol):
    """The protocol object of one connection, as far as the acceptor needs it."""

    known: bool  # a pinned certificate was shown
    lost: asyncio.Event


class Acceptor:
    """Listens, and admits each connection through TLS.

    The caps count connections that have not shown a pinned certificate, so strangers cannot keep peers out, and peers
    behind one address (an onion service, a shared line) do not count each other out.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make_visitor: Callable[[], Visitor],
        *,
        handshake_seconds: float,
        unknown_per_origin: int,
        unknown_total: int,
    ) -> None:
        self.port = 0  # the one in use, once started
        self._context = context
        self._make_visitor = make_visitor
        self._handshake_seconds = handshake_seconds
        self._per_origin = unknown_per_origin
        self._total = unknown_total
        self._unknown: Counter[str] = Counter()
        self._sockets: list[socket.socket] = []
        self._open = False
        self._arrived: set[socket.socket] = set()  # accepted, and not yet a transport's
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises AddressUnavailable."""
        self._sockets = await listening_sockets(host, port)
        self.port = int(self._sockets[0].getsockname()[1])
        self._open = True
        for sock in self._sockets:
            self._watch(sock)

    async def close(self) -> None:
        """Stop listening and drop handshakes under way; connections already admitted are the listener's."""
        self._open = False
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            asyncio.get_running_loop().remove_reader(sock)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in (*sockets, *self._arrived):
            sock.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _watch(self, listening: socket.socket) -> None:
        if self._open:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        # Not loop.sock_accept: cancelled at the wrong moment, it forgets a connection that it has accepted.
        loop = asyncio.get_running_loop()
        try:
            sock, address = listening.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                loop.remove_reader(listening)
                loop.call_later(_PAUSE_SECONDS, self._watch, listening)
            return
        sock.setblocking(False)
        self._arrived.add(sock)
        self._spawn(self._admit(sock, origin(address[0])))

    async def _admit(self, sock: socket.socket, place: str) -> None:
        self._arrived.discard(sock)
        if self._unknown[place] >= self._per_origin or self._unknown.total() >= self._total:
            sock.close()
            return
        with self._counted(place):
            visitor = await self._shake_hands(sock)
            if visitor is not None and not visitor.known:
                await visitor.lost.wait()

    async def _shake_hands(self, sock: socket.socket) -> Visitor | None:
        """Run the handshake; whoever fails it is gone without an application byte and without a line in the log."""
        tune(sock)
        try:
            _, visitor = await asyncio.get_running_loop().connect_accepted_socket(
                self._make_visitor,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError:
            return None
        return visitor

    @contextlib.contextmanager
    def _counted(self, place: str) -> Iterator[None]:
        self._unknown[place] += 1
        try:
            yield
        finally:
            self._unknown[place] -= 1
            if not self._unknown[place]:
                del self._unknown[place]
