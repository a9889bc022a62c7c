"""Names that the API, the panel and the server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from almenara.node.people import Actor
    from almenara.node.service import Service

API = "/api/v1"
SESSION_COOKIE = "almenara_session"  # set by the panel at sign-in; also opens the API
PROBLEM_TYPE = "application/problem+json"  # RFC 9457

SERVICE: web.AppKey[Service] = web.AppKey("service")
TOKEN: web.AppKey[str] = web.AppKey("token")  # of run/local.json
HOSTS: web.AppKey[frozenset[str]] = web.AppKey("hosts")
ACTOR: web.RequestKey[Actor | None] = web.RequestKey("actor")
