"""Dialling other nodes: over the context pinned to the one certificate we expect, or for pairing by its digest."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import aiohttp
from yarl import URL

from almenara.node.transport.door import Door, pairing_context
from almenara.node.transport.endpoint import Endpoint, parse_endpoint
from almenara.node.transport.errors import DialFault, NotPinned, Unreachable
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
from almenara.node.transport.onion import is_onion
from almenara.node.transport.proxy import PROXY_ERRORS, ThroughProxy, proxy_fault


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a node is. `dial_seconds`: name, TCP, TLS and upgrade; `retry_seconds`: the shortest wait after."""

    dial_seconds: float
    retry_seconds: float


DIRECT = Pace(20.0, 1.0)
PROXIED = Pace(45.0, 5.0)  # a first circuit to an onion service takes 5 to 30 s, and costs every relay on it work


class Dialer:
    """Opens links and pairing channels; one instance per node. With a proxy, everything goes through it."""

    def __init__(self, door: Door, *, proxy: Endpoint | None = None, dial_seconds: float | None = None) -> None:
        self._door = door
        self._proxy = proxy
        self.pace = PROXIED if proxy else DIRECT
        self._seconds = dial_seconds or self.pace.dial_seconds
        self._clients: dict[str, aiohttp.ClientSession] = {}

    async def dial(self, peer: bytes, endpoint: str) -> Link:
        """Open a link to a pinned peer.

        Raises:
            EndpointMalformed: before anything is sent.
            NotPinned: the peer is not pinned, or no longer.
            Unreachable: the dial failed, for the reason it names.

        """
        context = self._door.client_context(self._door.certificate_of(peer))
        ws = await self._open(parse_endpoint(endpoint), SESSION_PATH, context, FRAME_CAP)
        try:
            return Link(ws, door=self._door, peer=peer, inbound=False)
        except NotPinned:
            await ws.close()
            raise

    async def dial_pairing(self, endpoint: str, digest: bytes) -> PairingChannel:
        """Open a pairing channel to the node whose certificate has this digest, showing none of our own.

        Raises:
            EndpointMalformed, Unreachable: as for `dial`.

        """
        context = pairing_context(digest)
        return PairingChannel(await self._open(parse_endpoint(endpoint), PAIRING_PATH, context, PAIRING_CAP))

    async def close(self) -> None:
        """Release the clients; open links are their owners'."""
        for client in self._clients.values():
            await client.close()

    async def _open(
        self, endpoint: Endpoint, path: str, context: ssl.SSLContext, max_bytes: int
    ) -> aiohttp.ClientWebSocketResponse:
        if is_onion(endpoint.host) and self._proxy is None:
            raise Unreachable(DialFault.NEEDS_TOR)
        url = URL.build(scheme="https", host=endpoint.host, port=endpoint.port, path=path)
        try:
            async with asyncio.timeout(self._seconds):
                ws = await self._client(endpoint).ws_connect(
                    url,
                    protocols=(SUBPROTOCOL,),
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    heartbeat=heartbeat(),
                    max_msg_size=max_bytes,
                    compress=0,
                    ssl=context,
                )
        except PROXY_ERRORS as error:
            raise Unreachable(proxy_fault(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(_fault(error)) from None
        if ws.protocol != SUBPROTOCOL:
            await ws.close()
            raise Unreachable(DialFault.TURNED_AWAY)
        return ws

    def _client(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        """One for all; through a proxy one for each host, as the proxy's circuits are."""
        key = endpoint.host if self._proxy else ""
        if key not in self._clients:
            connector = ThroughProxy(self._proxy) if self._proxy else _direct()
            self._clients[key] = _client(connector, self._seconds)
        return self._clients[key]


def _direct() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(force_close=True, limit=0, use_dns_cache=False)


def _client(connector: aiohttp.TCPConnector, seconds: float) -> aiohttp.ClientSession:
    """Make a client that keeps no connections, no cookies, no names, and follows no redirect."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(sock_connect=seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        auto_decompress=False,
        middlewares=(_never_redirected,),
    )


async def _never_redirected(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse every answer but the upgrade: `ws_connect` would follow a redirect to wherever the other side points."""
    response = await handler(request)
    if response.status != 101:
        response.close()
        raise aiohttp.ClientPayloadError("not an upgrade")
    return response


def _fault(error: Exception) -> DialFault:
    if isinstance(error, TimeoutError):
        return DialFault.TIMED_OUT
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return DialFault.NO_SUCH_NAME
    wrong = aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError
    if isinstance(error, wrong) or isinstance(error.__cause__, wrong):
        return DialFault.WRONG_CERTIFICATE
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return DialFault.NO_ANSWER
    return DialFault.TURNED_AWAY
