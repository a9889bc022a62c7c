"""A line that listens: a TCP proxy that passes everything on and remembers it, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Tap:
    """Listens on a free loopback port, connects on to `target`, records both directions until it is closed."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._server]
        self.recorded: list[bytearray] = []
        self._spawn(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.getsockname()[1]
        return port

    def captured(self) -> bytes:
        """Everything so far, direction after direction."""
        return b"".join(bytes(one) for one in self.recorded)

    def close(self) -> None:
        """Cut every line."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @staticmethod
    def _spawn(work: object, *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                try:
                    called = socket.create_connection(self._target)
                except OSError:
                    caller.close()
                    continue
                self._sockets += [caller, called]
                for source, sink in ((caller, called), (called, caller)):
                    self.recorded.append(bytearray())
                    self._spawn(self._pass_on, source, sink, self.recorded[-1])

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, record: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                record += data
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
