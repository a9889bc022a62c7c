"""Style sheet, script and icon: a closed list of files, read once, kept by browsers until they change."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from almenara.admin_ui.render import STATIC, asset
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES: Mapping[str, str] = {
    "almenara.css": "text/css",
    "almenara.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/htmx-2.0.11.min.js": "text/javascript",
}


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()


async def show(visit: Visit) -> web.StreamResponse:
    """Give one file. Its address names its content, so it never changes under it."""
    name = visit.request.match_info["name"]
    if name not in FILES:
        raise Problem(Kind.NOT_FOUND)
    return web.Response(
        body=_content(name),
        content_type=FILES[name],
        charset="utf-8",
        headers={"Cache-Control": "private, max-age=31536000, immutable"},
    )


async def icon(visit: Visit) -> web.StreamResponse:
    """Where browsers look for an icon when a page names none, such as the empty one."""
    return visit.go(asset("icon.svg"))


ROUTES = (
    Route("GET", "/static/{name:.+}", show, Who.ANYBODY),
    Route("GET", "/favicon.ico", icon, Who.ANYBODY),
)
