"""What every request meets before any handler, on the panel's routes as on the API's.

A web page that somebody has open elsewhere may send requests to this machine. It is stopped three times: its Host is
not one of ours once its name is rebound to loopback (421), its Origin is not ours (403), and it has neither the token
nor the cookie.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from almenara.crypto.random import random_bytes
from almenara.node.api.answers import refusal
from almenara.node.api.keys import HOSTS, STREAMED
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
BODY_SECONDS = 10  # aiohttp has no time-out for bodies: one slow sender would hold a handler for ever
MAX_BODY = 4 * 1024 * 1024  # bytes; a case with every list full is smaller

# Referrer-Policy: no-referrer would be stricter, but browsers then send `Origin: null` with our own forms (Fetch §3.2).
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = structlog.get_logger()

# aiohttp reports malformed requests together with the caller's address. Nothing of that is ours to keep.
silent = logging.getLogger("almenara.api.silent")
silent.disabled = True


def allowed_hosts(listen_host: str, names: Iterable[str]) -> frozenset[str]:
    """The names we answer to, lower case, without port: loopback, the listening address and `panel.hosts`."""
    wildcard = listen_host in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    own = frozenset() if wildcard else frozenset({listen_host.strip("[]").lower()})
    return LOOPBACK | own | {host_of(name) or name.lower() for name in names}


def host_of(authority: str) -> str | None:
    """The host of `name:port` or `[::1]:port`, lower case; none where it is not one."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return None if parts.username is not None or parts.path or parts.query or parts.fragment else parts.hostname


@web.middleware
async def only_our_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a Host that is not ours, whatever the route: DNS rebinding ends here (421, RFC 9110 §15.5.20)."""
    if host_of(request.headers.get(hdrs.HOST, "")) not in request.config_dict[HOSTS]:
        problem = Problem(Kind.NOT_ALLOWED, N_("This node does not answer to that name."), field="Host")
        return refusal(problem, status=421)
    return await handler(request)


@web.middleware
async def only_our_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a change that another page asks for: its Origin, or what the browser says of the fetch, is not ours."""
    if request.method not in READING and not is_same_origin(request):
        problem = Problem(Kind.NOT_ALLOWED, N_("The request came from another page."), field="Origin")
        return refusal(problem)
    return await handler(request)


def is_same_origin(request: web.Request) -> bool:
    """Tell whether the headers that a page cannot forge allow it; both are absent when no browser asks."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or parts.netloc.lower() != request.headers[hdrs.HOST].lower():
            return False
    return request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}


@web.middleware
async def whole_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read the body now, within a time: handlers then find it in memory (`request.post()`, `request.read()`).

    The few that take files read them piece by piece (`uploads`).
    """
    if request.can_read_body and (request.method, request.path) not in request.config_dict[STREAMED]:
        if request.content_type.startswith("multipart/") or hdrs.CONTENT_ENCODING in request.headers:
            raise web.HTTPUnsupportedMediaType
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Problem(Kind.TOO_LARGE, expected=f"at most {MAX_BODY} bytes") from None
        except TimeoutError:
            late = web.Response(status=web.HTTPRequestTimeout.status_code)
            late.force_close()
            return late
    return await handler(request)


@web.middleware
async def no_stray_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The last net: what nobody foresaw becomes `internal` with an id, and only its type reaches the log."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Problem as problem:
        return refusal(problem)
    except Exception as error:  # noqa: BLE001 - the last net
        fault = random_bytes(6).hex()
        log.error("internal", id=fault, error=type(error).__name__)  # noqa: TRY400 - a traceback may carry a case
        return refusal(Problem(Kind.INTERNAL, N_("The id stands in the node's log."), id=fault))


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers where a handler has not set its own, and do not say which server this is."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall(hdrs.SERVER, None)
