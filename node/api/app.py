"""The web application: guards first, then the API, then whatever panel is installed."""

from __future__ import annotations

from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from aiohttp import web

from almenara.node.api import alerts, bundles, carrying, cases, circles, events, guards, office, peers
from almenara.node.api.access import known_caller
from almenara.node.api.answers import refusal
from almenara.node.api.keys import API, HOSTS, SERVICE, STREAMED, TOKEN
from almenara.node.api.openapi import openapi
from almenara.node.api.repetitions import REPETITIONS, Repetitions
from almenara.node.api.route import Call, Route
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.node.api.guards import Handler
    from almenara.node.service import Service

PANEL = "almenara.panel"  # entry point group: `mount(app, service)`; the node may not import the panel


async def describe(_call: Call) -> dict[str, Any]:
    """Give the OpenAPI document."""
    return openapi(ROUTES, version("almenara"))


ROUTES: tuple[Route, ...] = (
    *office.ROUTES,
    *peers.ROUTES,
    *circles.ROUTES,
    *carrying.ROUTES,
    *cases.ROUTES,
    *alerts.ROUTES,
    *bundles.ROUTES,
    *events.ROUTES,
    Route(method="GET", path="/openapi.json", handle=describe, open=True, summary="This document"),
)


def build(service: Service, *, hosts: Iterable[str], token: str) -> web.Application:
    """Put everything below one set of guards; `hosts` are the names we answer to, `token` is the local CLI's."""
    app = web.Application(
        middlewares=[guards.only_our_hosts, guards.only_our_pages, guards.no_stray_errors, guards.whole_body],
        client_max_size=guards.MAX_BODY,
    )
    app[SERVICE], app[TOKEN], app[HOSTS] = service, token, frozenset(hosts)
    app[STREAMED] = {(route.method, API + route.path) for route in ROUTES if route.streams}
    app[REPETITIONS] = Repetitions()
    app.on_response_prepare.append(guards.harden)
    app.add_subapp(API, _api())
    return app


def mount_panels(app: web.Application, service: Service) -> None:
    """Add the routes of the installed panel."""
    for entry in entry_points(group=PANEL):
        entry.load()(app, service)


def _api() -> web.Application:
    api = web.Application(middlewares=[_plain_errors, known_caller])
    for route in ROUTES:
        api.router.add_route(route.method, route.path, route.__call__)
    return api


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give aiohttp's own refusals (no such route, no such method, too large) the form of a problem."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(Problem(Kind.NOT_FOUND))
    except web.HTTPMethodNotAllowed as error:
        answer = refusal(
            Problem(Kind.NOT_FOUND, expected=" · ".join(sorted(error.allowed_methods))), status=error.status
        )
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
