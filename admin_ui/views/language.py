"""The reader's language, kept in a cookie of its own so that it also holds on the locked page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.guard import LANGUAGE_COOKIE
from almenara.admin_ui.i18n import LANGUAGES
from almenara.admin_ui.security import keep
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from aiohttp import web

A_YEAR = 365 * 24 * 3600  # seconds


async def choose(visit: Visit) -> web.StreamResponse:
    """Keep the choice and go back to where it was made."""
    language = visit.text("language")
    if language not in LANGUAGES:
        raise Problem(Kind.UNKNOWN_CODE, field="language", expected=" · ".join(LANGUAGES))
    answer = visit.go(_own_path(visit.text("back")))
    keep(answer, LANGUAGE_COOKIE, language, secure=visit.request.secure, max_age=A_YEAR)
    return answer


def _own_path(path: str) -> str:
    """A path of this panel, never another site's address (`//host`)."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if plain else "/"


ROUTES = (Route("POST", "/language", choose, Who.ANYBODY),)
