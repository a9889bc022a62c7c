"""One hour on a local network by multicast DNS: what we announce, and whom we hear (SPEC §15; threats: RFC 8882).

Nothing here knows who anybody is. Every name is random and thrown away with the instance.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ifaddr
from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from almenara.crypto.random import random_bytes
from almenara.node.transport.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SERVICE = "_almenara._tcp.local."
VERSION = b"1"
NAME_BYTES = 6
RESOLVE_MS = 3000  # an answer on the same network takes some milliseconds; the question is repeated meanwhile
MAX_HEARD = 256  # instances looked at in an hour, so that a flood of them costs nothing more


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of this computer, with one private IPv4 address of it."""

    name: str
    address: ipaddress.IPv4Interface


def interfaces(names: Iterable[str] = ()) -> list[Interface]:
    """List the interfaces that may be used: those named, else every one but loopback; private addresses only."""
    wanted = set(names)
    found = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            if not isinstance(one.ip, str):
                continue  # IPv6, whose link-local addresses mean something on one computer only
            address = ipaddress.IPv4Interface(f"{one.ip}/{one.network_prefix}")
            fits = adapter.name in wanted if wanted else not address.is_loopback
            if fits and (address.is_private or address.is_link_local):
                found.append(Interface(adapter.name, address))
    return found


class Air:
    """Hears neighbours on one interface, and announces us where a port is given. For one hour, then thrown away.

    Each interface has its own, since the addresses of the others are nobody's business there.
    """

    def __init__(self, on: Interface, heard: Callable[[Endpoint, bytes], None]) -> None:
        self._on, self._heard = on, heard
        self._own = f"{_random_name()}.{SERVICE}"
        self._known: set[str] = {self._own}
        self._tasks: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def open(self, port: int | None, notice: bytes) -> None:
        """Begin to listen, and with a port to announce. Raises OSError when the interface cannot be used."""
        address = str(self._on.address.ip)
        try:
            zeroconf = self._zeroconf = AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
            self._browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[self._changed])
            if port is not None:
                await (await zeroconf.async_register_service(self._announcement(address, port, notice)))
        except Error as error:
            raise OSError(type(error).__name__) from None

    def _announcement(self, address: str, port: int, notice: bytes) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE,
            self._own,
            addresses=[socket.inet_aton(address)],
            port=port,
            properties={b"v": VERSION, b"t": notice},
            server=f"{_random_name()}.local.",
        )

    async def close(self) -> None:
        """Say goodbye and fall silent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            await self._zeroconf.async_close()

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """Look at every instance once: names last no longer than what they stand for."""
        if state_change is ServiceStateChange.Added and name not in self._known and len(self._known) <= MAX_HEARD:
            self._known.add(name)
            task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, service_type, name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        info = AsyncServiceInfo(service_type, name)
        if not await info.async_request(zeroconf, RESOLVE_MS) or not info.port:
            return
        told = info.properties
        if told.keys() != {b"v", b"t"} or told[b"v"] != VERSION:
            return
        for address in info.ip_addresses_by_version(IPVersion.V4Only):
            if address in self._on.address.network:
                self._heard(Endpoint(str(address), info.port), told[b"t"] or b"")
                return


def _random_name() -> str:
    return random_bytes(NAME_BYTES).hex()
