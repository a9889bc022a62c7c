"""The way every request takes: language, session, form token, Origin; then the view; then the headers."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import structlog
from aiohttp import web

from almenara.admin_ui.i18n import choose
from almenara.admin_ui.reader import Reader, zone_of
from almenara.admin_ui.security import (
    FORM_FIELD,
    FORM_HEADER,
    SAFE_METHODS,
    check_origin,
    check_token,
    dress,
    keep,
    new_token,
    visitor_cookie,
)
from almenara.admin_ui.upload import uploaded
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.api.keys import session_cookie
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.admin_ui.memory import Memory
    from almenara.admin_ui.visit import Form
    from almenara.node.people import SignedIn
    from almenara.node.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()

LANGUAGE_COOKIE = "almenara_language"
ZONE_COOKIE = "almenara_zone"
_RANK = {"": 0, "viewer": 1, "case worker": 2, "admin": 3}
_NEEDS = {Who.ANYBODY: 0, Who.STRANGER: 0, Who.PERSON: 1, Who.CASE_WORKER: 2, Who.ADMIN: 3}


def guarded(route: Route, service: Service, memory: Memory) -> Handler:
    """Wrap a view so that nothing reaches it unchecked and nothing leaves it undressed."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visit = await _arrive(request, service, memory)
        try:
            answer = await _answer(route, visit)
        except Problem as problem:
            answer = refused(visit, problem)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the last net: a page, and only the type in the log
            answer = _our_fault(visit, error)
        if not answer.prepared:
            _remember_visitor(visit, answer)
            dress(answer)
        return answer

    return handle


async def _answer(route: Route, visit: Visit) -> web.StreamResponse:
    changes = visit.request.method not in SAFE_METHODS
    if changes:
        check_origin(visit.request)
    if elsewhere := await _elsewhere(visit, route.who):
        return _for_htmx(visit, elsewhere, changes=changes)
    if not changes:
        return await route.view(visit)
    if route.upload:
        async with uploaded(visit.request) as (fields, file):
            _check_form_token(visit, fields)
            return await route.view(dataclasses.replace(visit, form=fields, file=file))
    posted = await _form(visit.request)
    try:
        _check_form_token(visit, posted)
    except Problem:
        if visit.by_htmx:
            return visit.page("not_saved.html")
        raise
    return await route.view(dataclasses.replace(visit, form=posted))


def _for_htmx(visit: Visit, elsewhere: web.Response, *, changes: bool) -> web.Response:
    """Tell a page that updates itself: a form under way must stay on screen, a page that only shows is left."""
    if not visit.by_htmx:
        return elsewhere
    if changes:
        return visit.page("not_saved.html")
    return web.Response(headers={"HX-Redirect": elsewhere.headers["Location"]})


def refused(visit: Visit, problem: Problem) -> web.Response:
    """Give the page that says why not, and what to do next."""
    if problem.kind is Kind.LOCKED:
        return visit.go("/unlock")
    return visit.page("refused.html", status=problem.status, problem=problem)


def _our_fault(visit: Visit, error: Exception) -> web.Response:
    fault = secrets.token_hex(6)
    log.error("internal", id=fault, error=type(error).__name__)
    return refused(visit, Problem(Kind.INTERNAL, N_("The id stands in the node's log."), id=fault))


async def _arrive(request: web.Request, service: Service, memory: Memory) -> Visit:
    seen = service.last_event
    languages = service.config.node.languages
    language = choose(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("Accept-Language", ""), languages)
    signed_in = await session(request, service)
    csrf = signed_in.csrf if signed_in else request.cookies.get(visitor_cookie(request)) or new_token()
    return Visit(
        request=request,
        service=service,
        memory=memory,
        reader=Reader(language, zone_of(request.cookies.get(ZONE_COOKIE, ""))),
        signed_in=signed_in,
        csrf=csrf,
        seen=seen,
    )


async def session(request: web.Request, service: Service) -> SignedIn | None:
    """Give the session of the cookie; one in which nobody has done anything for too long has ended."""
    token = request.cookies.get(session_cookie(request))
    return await service.session(token, touch=not _by_itself(request)) if token else None


def _by_itself(request: web.Request) -> bool:
    """Whether the page asks by itself: a live part that refreshes, or the stream of events."""
    return request.method in SAFE_METHODS and (
        request.headers.get("HX-Request") == "true" or request.headers.get("Accept") == "text/event-stream"
    )


async def _form(request: web.Request) -> Form:
    posted = await request.post()
    if any(not isinstance(value, str) for value in posted.values()):
        raise Problem(Kind.MALFORMED)  # a file comes only where a route says so
    return cast("Form", posted)


def _check_form_token(visit: Visit, posted: Form) -> None:
    """Check the token of the session, or for a visitor the one in her own cookie."""
    expected = visit.csrf if visit.signed_in else visit.request.cookies.get(visitor_cookie(visit.request), "")
    check_token(posted.get(FORM_FIELD) or visit.request.headers.get(FORM_HEADER), expected)


async def _elsewhere(visit: Visit, who: Who) -> web.Response | None:
    """Send whoever is too early to the page that comes first. Raises `Problem(NOT_ALLOWED)` for a role that may not."""
    if who is Who.ANYBODY:
        return None
    if visit.service.locked:
        return visit.go("/unlock")
    if _RANK[visit.role] >= _NEEDS[who]:
        return None
    if visit.signed_in:
        raise Problem(Kind.NOT_ALLOWED, N_("Your role does not include this."), next=N_("Ask an admin of your node."))
    first = await visit.service.needs_first_person()
    return visit.go("/first-run" if first else "/sign-in")


def _remember_visitor(visit: Visit, answer: web.StreamResponse) -> None:
    name = visitor_cookie(visit.request)
    if visit.signed_in is None and visit.request.cookies.get(name) != visit.csrf:
        keep(answer, name, visit.csrf, secure=visit.request.secure)
