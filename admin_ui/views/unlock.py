"""The closed vault: opening it with the passphrase, closing it with one press."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.api.keys import session_cookie
from almenara.node.problem import Problem

if TYPE_CHECKING:
    from aiohttp import web


async def show(visit: Visit) -> web.StreamResponse:
    """The only page there is while the vault is closed."""
    if not visit.service.locked:
        return visit.go("/")
    return visit.page("unlock.html")


async def unlock(visit: Visit) -> web.StreamResponse:
    """Open the vault; takes about a second, since the key derivation is meant to be slow."""
    try:
        await visit.service.unlock(visit.form.get("passphrase", ""))
    except Problem as problem:
        return visit.page("unlock.html", status=problem.status, problem=problem)
    return visit.go("/")


async def lock(visit: Visit) -> web.StreamResponse:
    """Close the vault, and with it everybody's pages."""
    await visit.service.sign_out(visit.request.cookies.get(session_cookie(visit.request), ""))
    await visit.service.lock(visit.actor)
    visit.memory.forget()
    answer = visit.go("/unlock")
    answer.del_cookie(session_cookie(visit.request), path="/")
    return answer


ROUTES = (
    Route("GET", "/unlock", show, Who.ANYBODY),
    Route("POST", "/unlock", unlock, Who.ANYBODY),
    Route("POST", "/lock", lock, Who.PERSON),
)
