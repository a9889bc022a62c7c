"""Settings: how this node is, what is red and why, and the people who may sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.views.sign_in import password_given_twice
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.admin_ui.words import ROLES
from almenara.node.problem import Problem

if TYPE_CHECKING:
    from aiohttp import web


async def show(visit: Visit) -> web.StreamResponse:
    """The node, its problems, languages; for an admin also the people."""
    return await _page(visit)


async def add_person(visit: Visit) -> web.StreamResponse:
    """Let somebody sign in."""
    try:
        password = password_given_twice(visit)
        await visit.service.add_person(visit.actor, visit.text("name"), visit.text("role"), password)
    except Problem as problem:
        return await _page(visit, problem)
    return visit.go("/settings", "person-added")


async def remove_person(visit: Visit) -> web.StreamResponse:
    """End somebody's access at once."""
    await visit.service.remove_person(visit.actor, visit.text("name"))
    return visit.go("/settings", "person-removed")


async def own_password(visit: Visit) -> web.StreamResponse:
    """Form for one's own new password."""
    return visit.page("password.html", here="settings", of=visit.actor.name)


async def set_password(visit: Visit) -> web.StreamResponse:
    """Set it; that person's sessions end, also this one when it is one's own."""
    name = visit.text("name") or visit.actor.name
    try:
        await visit.service.set_password(visit.actor, name, password_given_twice(visit))
    except Problem as problem:
        return visit.page("password.html", status=problem.status, problem=problem, here="settings", of=name)
    return visit.go("/settings" if name != visit.actor.name else "/sign-in", "password-set")


async def _page(visit: Visit, problem: Problem | None = None) -> web.Response:
    admin = visit.role == "admin"
    return visit.page(
        "settings.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="settings",
        node_status=await visit.service.status(visit.actor),
        people=(await visit.service.people(visit.actor)).people if admin else [],
        all_roles=[(role, visit.reader.say(words)) for role, words in ROLES.items()],
        entered={"name": visit.text("name"), "role": visit.text("role") or "case worker"},
        idle_minutes=visit.service.config.panel.idle_minutes,
    )


ROUTES = (
    Route("GET", "/settings", show, Who.PERSON),
    Route("GET", "/settings/password", own_password, Who.PERSON),
    Route("POST", "/settings/password", set_password, Who.PERSON),
    Route("POST", "/settings/people", add_person, Who.ADMIN),
    Route("POST", "/settings/people/remove", remove_person, Who.ADMIN),
)
