"""A slow line: a TCP proxy that passes so many bytes a second in each direction, and holds few back."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

CHUNK = 1_460  # bytes: one packet
BUFFER = 16_384  # bytes that the kernel keeps for the proxy on each side, about what a router does


class Shaper:
    """Listens on a free loopback port and connects on to `target`, in threads of its own, until it is closed."""

    def __init__(self, target: tuple[str, int], bytes_per_second: float) -> None:
        self._target, self._rate = target, bytes_per_second
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self._sockets = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.getsockname()[1]
        return port

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket()
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
                far.connect(self._target)
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        free_at = time.perf_counter()
        with suppress(OSError):
            while data := one.recv(CHUNK):
                free_at = max(free_at, time.perf_counter()) + len(data) / self._rate
                time.sleep(max(0.0, free_at - time.perf_counter()))
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
