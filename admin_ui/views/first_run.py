"""The first person: the one-time code from the terminal, a name and a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.views.sign_in import begin, password_given_twice
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.problem import Problem

if TYPE_CHECKING:
    from aiohttp import web


async def show(visit: Visit) -> web.StreamResponse:
    """Ask for the code; gone as soon as somebody can sign in."""
    if not await visit.service.needs_first_person():
        return visit.go("/sign-in")
    return visit.page("first_run.html", name="", code="")


async def add(visit: Visit) -> web.StreamResponse:
    """Make the first admin and sign her in."""
    if not await visit.service.needs_first_person():
        return visit.go("/sign-in")
    code, name = visit.text("code"), visit.text("name")
    try:
        password = password_given_twice(visit)
        signed_in = await visit.service.add_first_person(code, name, password)
    except Problem as problem:
        return visit.page("first_run.html", status=problem.status, problem=problem, name=name, code=code)
    return begin(visit, signed_in)


ROUTES = (
    Route("GET", "/first-run", show, Who.STRANGER),
    Route("POST", "/first-run", add, Who.STRANGER),
)
