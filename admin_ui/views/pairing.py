"""Pairing: making an invitation (link and QR), or using one that came."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

import segno
from markupsafe import Markup

from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.clock import now_ms
from almenara.node.problem import Problem

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node.models import InvitationMade


async def show(visit: Visit) -> web.StreamResponse:
    """Both ways to begin."""
    return _page(visit)


async def invite(visit: Visit) -> web.StreamResponse:
    """Make an invitation; it stays on this page until it runs out, is used or is put away."""
    made = await visit.service.invite(visit.actor)
    visit.memory.keep_invitation(visit.actor.name, made)
    return visit.go("/network/pair")


async def put_away(visit: Visit) -> web.StreamResponse:
    """Take the invitation off the screen."""
    visit.memory.drop_invitation(visit.actor.name)
    return visit.go("/network/pair", "invitation-dropped")


async def use(visit: Visit) -> web.StreamResponse:
    """Use an invitation; waits up to 30 s, over Tor 55 s, for the code that both sides then compare."""
    text = visit.text("invitation")
    try:
        peer = await visit.service.pair(visit.actor, "".join(text.split()))
    except Problem as problem:
        return _page(visit, problem=problem, entered=text)
    return visit.go(f"/network/peers/{peer.node_id}")


def qr_svg(text: str) -> Markup:
    """Draw a QR code as inline SVG, black on white in both colour schemes so that every camera reads it."""
    drawn = BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", xmldecl=False, svgns=True, border=2, omitsize=True)
    return Markup(drawn.getvalue().decode())  # noqa: S704 - drawn here, holds no text of anybody


def _page(visit: Visit, problem: Problem | None = None, entered: str = "") -> web.Response:
    made = _current(visit)
    return visit.page(
        "pair.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="network",
        made=made,
        qr=qr_svg(made.invitation) if made else None,
        entered=entered,
    )


def _current(visit: Visit) -> InvitationMade | None:
    made = visit.memory.invitation(visit.actor.name)
    if made and datetime.fromisoformat(made.expires_at).timestamp() * 1000 <= now_ms():
        visit.memory.drop_invitation(visit.actor.name)
        return None
    return made


ROUTES = (
    Route("GET", "/network/pair", show, Who.ADMIN),
    Route("POST", "/network/invitations", invite, Who.ADMIN),
    Route("POST", "/network/invitations/put-away", put_away, Who.ADMIN),
    Route("POST", "/network/pair", use, Who.ADMIN),
)
