"""Network: the organisations we are paired with, and how it stands with each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.states import CIRCLE, PEER, PEER_KIND
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.config import MAX_QUOTA_MB
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.node.words import N_

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node import models

HERE = ("invited", "accepted", "active")  # of circles and members alike (SCHEMAS §4)
DISCOVERY_MINUTES = 10
ORDER = ("unconfirmed", "waiting", "blocked", "verified", "removed")  # what waits for somebody comes first


async def show(visit: Visit) -> web.StreamResponse:
    """Peers and circles on one page."""
    peers = (await visit.service.peers(visit.actor)).peers
    circles = (await visit.service.circles(visit.actor)).circles
    return visit.page(
        "network.html",
        here="network",
        peers=sorted(peers, key=lambda peer: (ORDER.index(peer.state), peer.name.casefold())),
        circles=[circle for circle in circles if circle.kind == "group"],
        states=PEER,
        circle_states=CIRCLE,
        kinds=PEER_KIND,
        carrying=await visit.service.carrying(visit.actor),
        discovery=await visit.service.discovery(visit.actor),
    )


async def carrying(visit: Visit) -> web.StreamResponse:
    """Say how much an organisation may leave here."""
    written = visit.text("quota_mb")
    if not (written.isascii() and written.isdecimal() and int(written[:9]) <= MAX_QUOTA_MB):
        raise Problem(Kind.WRONG_TYPE, field="quota_mb", expected=f"0–{MAX_QUOTA_MB}")
    await visit.service.set_carry_quota(visit.actor, visit.request.match_info["node_id"], int(written))
    return visit.go("/network", "quota-set" if int(written) else "carrying-stopped")


async def discover(visit: Visit) -> web.StreamResponse:
    """Look for neighbours for ten minutes."""
    await visit.service.discover(visit.actor, DISCOVERY_MINUTES)
    return visit.go("/network", "discovery-on")


async def stop_discovery(visit: Visit) -> web.StreamResponse:
    """Fall silent."""
    await visit.service.stop_discovery(visit.actor)
    return visit.go("/network", "discovery-off")


async def peer(visit: Visit) -> web.StreamResponse:
    """One organisation: its state, the code to compare, and what to do next."""
    return await _peer_page(visit)


async def confirm(visit: Visit) -> web.StreamResponse:
    """Record that the code was compared; the tick is what the person vouches for."""
    if visit.text("compared") != "true":
        missing = Problem(
            Kind.NOT_READY,
            N_("The comparison was not confirmed."),
            field="compared",
            next=N_("Compare the code first, then tick the box."),
        )
        return await _peer_page(visit, missing)
    node_id = visit.request.match_info["node_id"]
    await visit.service.confirm_peer(visit.actor, node_id)
    return visit.go(f"/network/peers/{node_id}", "confirmed")


async def remove(visit: Visit) -> web.StreamResponse:
    """Cut the organisation off."""
    await visit.service.remove_peer(visit.actor, visit.request.match_info["node_id"])
    return visit.go("/network", "peer-removed")


async def _peer_page(visit: Visit, problem: Problem | None = None) -> web.Response:
    found = await visit.service.peer(visit.actor, visit.request.match_info["node_id"])
    circles = (await visit.service.circles(visit.actor)).circles
    return visit.page(
        "peer.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="network",
        peer=found,
        verified_by=visit.reader.say(LOCAL.name) if found.verified_by == LOCAL.name else found.verified_by,
        shared=in_common(circles, found.node_id),
        states=PEER,
        kinds=PEER_KIND,
    )


def in_common(circles: list[models.Circle], node_id: str) -> list[models.Circle]:
    """Circles in which both of us are, or are about to be; not those that either is out of."""
    ours = [circle for circle in circles if circle.state in HERE]
    return [circle for circle in ours if any(one.node_id == node_id and one.state in HERE for one in circle.members)]


ROUTES = (
    Route("GET", "/network", show, Who.CASE_WORKER),
    Route("POST", "/network/carrying/{node_id}", carrying, Who.ADMIN),
    Route("POST", "/network/discovery", discover, Who.ADMIN),
    Route("POST", "/network/discovery/stop", stop_discovery, Who.ADMIN),
    Route("GET", "/network/peers/{node_id}", peer, Who.CASE_WORKER),
    Route("POST", "/network/peers/{node_id}/confirm", confirm, Who.ADMIN),
    Route("POST", "/network/peers/{node_id}/remove", remove, Who.ADMIN),
)
