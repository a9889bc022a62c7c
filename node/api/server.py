"""Listening for the panel and the API, with aiohttp's defaults made safe (each was measured to be otherwise)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from almenara.crypto.random import random_bytes
from almenara.node.api import guards
from almenara.node.api.app import build, mount_panels

if TYPE_CHECKING:
    from almenara.node.config import Config
    from almenara.node.service import Service

KEEPALIVE_S = 10  # also bounds how long headers may take; aiohttp's default is an hour
LINGERING_S = 1  # for the rest of a body that was refused
SHUTDOWN_S = 1  # how long open streams may hold up a stop
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Server:
    """The running server. `token` belongs into run/local.json; it is new at each start."""

    url: str
    token: str
    _runner: web.AppRunner

    async def close(self) -> None:
        """Stop listening and end what is open."""
        await self._runner.cleanup()


async def start(service: Service, config: Config) -> Server:
    """Listen on `panel.listen`. Raises OSError where that cannot be done."""
    host, port = _split(config.panel.listen)
    token = base64.urlsafe_b64encode(random_bytes(TOKEN_BYTES)).decode().rstrip("=")
    app = build(service, hosts=guards.allowed_hosts(host, config.panel.hosts), token=token)
    mount_panels(app, service)
    runner = web.AppRunner(
        app,
        access_log=None,  # it holds the callers' addresses
        logger=guards.silent,
        keepalive_timeout=KEEPALIVE_S,
        lingering_time=LINGERING_S,
        auto_decompress=False,  # a megabyte of gzip can hold a gigabyte
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    port = runner.addresses[0][1]
    return Server(f"http://{_reachable(host)}:{port}", token, runner)


def _split(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _reachable(host: str) -> str:
    """The address at which this machine reaches a listener: loopback for a wildcard."""
    if host in {"", "0.0.0.0"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{'::1' if host == '::' else host}]" if ":" in host else host
