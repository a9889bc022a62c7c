"""Names that the API, the panel and the server share."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from almenara.node.people import Actor
    from almenara.node.service import Service

API = "/api/v1"
PROBLEM_TYPE = "application/problem+json"  # RFC 9457

SERVICE: web.AppKey[Service] = web.AppKey("service")
TOKEN: web.AppKey[str] = web.AppKey("token")  # of run/local.json
STREAMED: web.AppKey[set[tuple[str, str]]] = web.AppKey("streamed")  # method and path whose handlers read the body
HOSTS: web.AppKey[frozenset[str]] = web.AppKey("hosts")
ACTOR: web.RequestKey[Actor | None] = web.RequestKey("actor")


def session_cookie(request: web.Request) -> str:
    """Name of the cookie that the panel sets at sign-in and that opens the API too.

    Cookies ignore ports, so two nodes on one machine need two names.
    """
    return f"almenara_session_{urlsplit(f'//{request.host}').port or 0}"
