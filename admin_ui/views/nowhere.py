"""Addresses that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.visit import Route, Visit
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from aiohttp import web


async def show(_visit: Visit) -> web.StreamResponse:
    """Say so, on a page with a way back."""
    raise Problem(Kind.NOT_FOUND)


ROUTES = (Route("GET", "/{path:.*}", show),)
