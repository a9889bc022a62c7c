"""The SOCKS5 proxy in front of every dial, which also finds the names: none is ever looked up here (DESIGN §4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from aiohttp.client_proto import ResponseHandler
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy

from almenara.crypto.random import random_bytes
from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.errors import DialFault, EndpointMalformed

if TYPE_CHECKING:
    import asyncio
    from ssl import SSLContext

SCHEME = "socks5://"
PROXY_ERRORS = (ProxyConnectionError, ProxyError, ProxyTimeoutError)

_TOKEN_BYTES = 16
_UNANSWERED = frozenset({1, 3, 4, 5, 6})  # RFC 1928 §6: whatever lies behind the proxy did not answer it


def parse_proxy(text: str) -> Endpoint:
    """Read `socks5://HOST:PORT`. Raises EndpointMalformed; a name or password in it is refused, and never repeated."""
    if not text.startswith(SCHEME) or "@" in text:
        raise EndpointMalformed(f"a proxy is written {SCHEME}HOST:PORT, without a name and password")
    return parse_endpoint(text.removeprefix(SCHEME))


class ThroughProxy(ProxyConnector):
    """A connector that goes through the proxy.

    Its name and password are random and nobody's: Tor keeps streams with different ones on different circuits, so that
    no exit sees two peers of ours side by side. Other proxies ask for none.
    """

    def __init__(self, proxy: Endpoint) -> None:
        super().__init__(proxy.host, proxy.port, force_close=True, limit=0, use_dns_cache=False)
        self._way = proxy
        self._name, self._password = random_bytes(_TOKEN_BYTES).hex(), random_bytes(_TOKEN_BYTES).hex()

    async def _connect_via_proxy(
        self,
        host: str,
        port: int,
        ssl: SSLContext | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's form
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Let asyncio begin TLS on the proxy's socket: where the library does, a dial cut short never ends (0.12.0)."""
        way = Proxy(ProxyType.SOCKS5, self._way.host, self._way.port, self._name, self._password, rdns=True)
        sock = await way.connect(host, port, timeout)
        return await self._loop.create_connection(
            partial(ResponseHandler, loop=self._loop), sock=sock, ssl=ssl, server_hostname=host
        )


def proxy_fault(error: Exception) -> DialFault:
    """Say who did not answer: the proxy, or what lies behind it."""
    if isinstance(error, ProxyConnectionError):
        return DialFault.PROXY_SILENT
    if isinstance(error, ProxyTimeoutError):
        return DialFault.TIMED_OUT
    return DialFault.NO_ANSWER if getattr(error, "error_code", None) in _UNANSWERED else DialFault.PROXY_REFUSED
