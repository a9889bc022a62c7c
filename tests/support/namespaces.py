"""Network namespaces of a test's own: nodes that can reach nobody but a hub, and threads that speak from inside."""

from __future__ import annotations

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
HUB_ADDRESS = "10.77.0.1"


class Namespaces:
    """A hub and so many spokes. There is no forwarding: from one spoke to another leads only what the hub runs."""

    def __init__(self, spokes: int) -> None:
        self._prefix = f"almenara-{os.getpid()}"
        self.hub = f"{self._prefix}-hub"
        self.spokes = [f"{self._prefix}-{number}" for number in range(spokes)]

    @staticmethod
    def address(number: int) -> str:
        """Of a spoke."""
        return f"10.77.{number + 1}.2"

    @contextmanager
    def made(self) -> Iterator[Namespaces]:
        """Make all, and remove them whatever happens. Fails with what is missing where this machine cannot."""
        try:
            self._make()
            yield self
        finally:
            for name in (*self.spokes, self.hub):
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _make(self) -> None:
        self._ip("netns", "add", self.hub)
        self._ip("-n", self.hub, "link", "set", "lo", "up")
        self._ip("-n", self.hub, "address", "add", f"{HUB_ADDRESS}/32", "dev", "lo")
        for number, name in enumerate(self.spokes):
            self._ip("netns", "add", name)
            near, down = f"10.77.{number + 1}.1", f"down{number}"
            far_end = ("peer", "name", "spoke", "netns", name)
            self._ip("link", "add", "name", down, "netns", self.hub, "type", "veth", *far_end)
            self._ip("-n", self.hub, "address", "add", f"{near}/24", "dev", down)
            self._ip("-n", self.hub, "link", "set", down, "up")
            self._ip("-n", name, "address", "add", f"{self.address(number)}/24", "dev", "spoke")
            for link in ("lo", "spoke"):
                self._ip("-n", name, "link", "set", link, "up")
            self._ip("-n", name, "route", "add", "default", "via", near)

    @staticmethod
    def _ip(*words: str) -> None:
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
        needs = "network namespaces need root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and a kernel with veth"
        assert done.returncode == 0, f"{needs}: ip {' '.join(words)}: {done.stderr.strip()}"


def enter(name: str) -> None:
    """Move the calling thread, and it alone, into a namespace."""
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
    finally:
        os.close(descriptor)


def inside(name: str) -> ThreadPoolExecutor:
    """A thread that opens its sockets there."""
    return ThreadPoolExecutor(1, initializer=enter, initargs=(name,))
