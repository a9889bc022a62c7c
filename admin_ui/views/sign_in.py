"""Signing in and out, and leaving in a hurry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.security import keep, visitor_cookie
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.api.keys import session_cookie
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node.people import SignedIn


def begin(visit: Visit, signed_in: SignedIn) -> web.Response:
    """Start a session: a new token in the cookie, the visitor's form token forgotten."""
    answer = visit.go("/")
    keep(answer, session_cookie(visit.request), signed_in.token, secure=visit.request.secure)
    answer.del_cookie(visitor_cookie(visit.request), path="/")
    return answer


def password_given_twice(visit: Visit) -> str:
    """Raises `Problem(WRONG_TYPE)` when the two fields differ."""
    password = visit.form.get("password", "")
    if password != visit.form.get("password_again", ""):
        raise Problem(Kind.WRONG_TYPE, N_("The two passwords are not the same."), field="password_again")
    return password


async def show(visit: Visit) -> web.StreamResponse:
    """Name and password."""
    if visit.signed_in:
        return visit.go("/")
    if await visit.service.needs_first_person():
        return visit.go("/first-run")
    return visit.page("sign_in.html", name="")


async def sign_in(visit: Visit) -> web.StreamResponse:
    """Check them; the answer never says which of the two was wrong."""
    name = visit.text("name")
    try:
        signed_in = await visit.service.sign_in(name, visit.form.get("password", ""))
    except Problem as problem:
        return visit.page("sign_in.html", status=problem.status, problem=problem, name=name)
    return begin(visit, signed_in)


async def sign_out(visit: Visit) -> web.StreamResponse:
    """End this session."""
    return await _end(visit, "/sign-in", "signed-out")


async def leave(visit: Visit) -> web.StreamResponse:
    """Quick exit: end the session and show a page that tells nothing."""
    return await _end(visit, "/away", "")


async def away(visit: Visit) -> web.StreamResponse:
    """An empty page."""
    return visit.page("away.html")


async def _end(visit: Visit, path: str, done: str) -> web.Response:
    cookie = session_cookie(visit.request)
    await visit.service.sign_out(visit.request.cookies.get(cookie, ""))
    answer = visit.go(path, done)
    answer.del_cookie(cookie, path="/")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


ROUTES = (
    Route("GET", "/sign-in", show, Who.STRANGER),
    Route("POST", "/sign-in", sign_in, Who.STRANGER),
    Route("POST", "/sign-out", sign_out, Who.PERSON),
    Route("POST", "/leave", leave, Who.PERSON),
    Route("GET", "/away", away, Who.ANYBODY),
)
