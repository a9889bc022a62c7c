"""The panel's routes, and how they are mounted on the node's local web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.guard import guarded
from almenara.admin_ui.memory import Memory
from almenara.admin_ui.views import (
    bundles,
    cases,
    circles,
    first_run,
    inbox,
    language,
    live,
    network,
    nowhere,
    pairing,
    send,
    settings,
    sign_in,
    static,
    styleguide,
    today,
    unlock,
)
from almenara.node.api.keys import STREAMED

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.admin_ui.visit import Route
    from almenara.node.service import Service

ROUTES: tuple[Route, ...] = (
    *today.ROUTES,
    *inbox.ROUTES,
    *cases.ROUTES,
    *send.ROUTES,
    *network.ROUTES,
    *pairing.ROUTES,
    *circles.ROUTES,
    *bundles.ROUTES,
    *settings.ROUTES,
    *unlock.ROUTES,
    *first_run.ROUTES,
    *sign_in.ROUTES,
    *language.ROUTES,
    *live.ROUTES,
    *static.ROUTES,
    *styleguide.ROUTES,
    *nowhere.ROUTES,  # last: it takes every address
)


def mount(app: web.Application, service: Service) -> None:
    """Add the panel to `app` (entry point group `almenara.panel`)."""
    memory = Memory()
    app[STREAMED] |= {(route.method, route.path) for route in ROUTES if route.upload}
    for route in ROUTES:
        app.router.add_route(route.method, route.path, guarded(route, service, memory))
