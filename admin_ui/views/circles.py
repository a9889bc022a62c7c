"""Circles: founding one, inviting, joining, leaving, removing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from almenara.admin_ui.states import CARRIER, CIRCLE, MEMBER, MEMBER_ROLE, PEER_KIND
from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.models import TIERS, CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol import vocabulary

if TYPE_CHECKING:
    from aiohttp import web

TIER_MEANING = {
    "partner": N_("Closest: sees a map cell of at least 10,000 people, and the day."),
    "network": N_("Sees the region, if at least 100,000 people live there, and the week."),
    "international": N_("Farthest: sees the country and the month, and only the kind of threat."),
}
NOT_IN_GROUPS = "TLP:RED"  # exists only in direct circles (SCHEMAS §4)


async def show(visit: Visit) -> web.StreamResponse:
    """One circle with its members."""
    status = await visit.service.status(visit.actor)
    circle = await visit.service.circle(visit.actor, visit.request.match_info["circle_id"])
    gone = {"left", "removed"}
    members = {member.node_id for member in circle.members if member.state not in gone}
    peers = (await visit.service.peers(visit.actor)).peers
    carriers = (await visit.service.carriers(visit.actor, circle.circle_id)).carriers
    return visit.page(
        "circle.html",
        here="network",
        circle=circle,
        problems=[problem for problem in status.problems if problem.circle_id == circle.circle_id],
        own_id=status.node_id,
        steward=visit.role == "admin" and status.node_id in circle.stewards,
        inviters=[member.name for member in circle.members if member.node_id in circle.stewards],
        can_invite=[peer for peer in peers if peer.state == "verified" and peer.node_id not in members],
        states=CIRCLE,
        member_states=MEMBER,
        roles_in_circle=MEMBER_ROLE,
        kinds=PEER_KIND,
        tier_meaning=TIER_MEANING,
        carriers=carriers,
        carrier_states=CARRIER,
        can_carry=[
            peer
            for peer in peers
            if peer.state == "verified" and peer.node_id not in members | {carrier.node_id for carrier in carriers}
        ],
    )


async def carrier(visit: Visit) -> web.StreamResponse:
    """Ask an organisation to carry for the circle, or ask it no more."""
    circle_id, node_id = visit.request.match_info["circle_id"], visit.text("node_id")
    if visit.text("stop"):
        await visit.service.remove_carrier(visit.actor, circle_id, node_id)
        return visit.go(f"/network/circles/{circle_id}", "carrier-stopped")
    await visit.service.add_carrier(visit.actor, circle_id, node_id)
    return visit.go(f"/network/circles/{circle_id}", "carrier-asked")


async def new(visit: Visit) -> web.StreamResponse:
    """The form for a new circle."""
    return _new_page(visit)


async def create(visit: Visit) -> web.StreamResponse:
    """Found a circle; this node is its first steward."""
    try:
        circle = await visit.service.create_circle(visit.actor, _asked_for(visit))
    except Problem as problem:
        return _new_page(visit, problem)
    return visit.go(f"/network/circles/{circle.circle_id}", "circle-created")


def _asked_for(visit: Visit) -> CircleNew:
    """Raises `Problem(WRONG_TYPE)` with the first field that is not in order."""
    asked = {name: visit.text(name) for name in ("name", "tier", "max_tlp", "retention_days")}
    try:
        return CircleNew.model_validate(asked)
    except ValidationError as error:
        raise Problem(Kind.WRONG_TYPE, field=str(error.errors()[0]["loc"][0])) from None


def _new_page(visit: Visit, problem: Problem | None = None) -> web.Response:
    sharing = visit.service.config.sharing
    return visit.page(
        "circle_new.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="network",
        name=visit.text("name"),
        tier=visit.text("tier") or "network",
        max_tlp=visit.text("max_tlp") or sharing.tlp,
        retention_days=visit.text("retention_days") or sharing.retention_days,
        tiers=[(tier, visit.reader.label("tier", tier), visit.reader.say(TIER_MEANING[tier])) for tier in TIERS],
        labels=[
            (code, f"{code} – {visit.reader.meaning('tlp', code)}")
            for code in vocabulary.codes("tlp")
            if code != NOT_IN_GROUPS
        ],
    )


async def invite(visit: Visit) -> web.StreamResponse:
    """Ask a verified organisation to join."""
    circle_id = visit.request.match_info["circle_id"]
    await visit.service.invite_to_circle(visit.actor, circle_id, visit.text("node_id"), visit.text("role") or "member")
    return visit.go(f"/network/circles/{circle_id}", "circle-invited")


async def remove(visit: Visit) -> web.StreamResponse:
    """Take a member out; the circle gets a new key."""
    circle_id = visit.request.match_info["circle_id"]
    await visit.service.remove_from_circle(visit.actor, circle_id, visit.text("node_id"))
    return visit.go(f"/network/circles/{circle_id}", "circle-member-removed")


async def accept(visit: Visit) -> web.StreamResponse:
    """Say yes to an invitation."""
    circle_id = visit.request.match_info["circle_id"]
    changed = await visit.service.accept_circle(visit.actor, circle_id)
    return visit.go(f"/network/circles/{circle_id}", "circle-accepted" if changed.state == "active" else "")


async def decline(visit: Visit) -> web.StreamResponse:
    """Say no to an invitation."""
    await visit.service.decline_circle(visit.actor, visit.request.match_info["circle_id"])
    return visit.go("/network", "circle-declined")


async def leave(visit: Visit) -> web.StreamResponse:
    """Leave a circle; what came before stays here."""
    await visit.service.leave_circle(visit.actor, visit.request.match_info["circle_id"])
    return visit.go("/network", "circle-left")


ROUTES = (
    Route("GET", "/network/circles/new", new, Who.ADMIN),
    Route("POST", "/network/circles/new", create, Who.ADMIN),
    Route("GET", "/network/circles/{circle_id}", show, Who.CASE_WORKER),
    Route("POST", "/network/circles/{circle_id}/invite", invite, Who.ADMIN),
    Route("POST", "/network/circles/{circle_id}/remove", remove, Who.ADMIN),
    Route("POST", "/network/circles/{circle_id}/carriers", carrier, Who.ADMIN),
    Route("POST", "/network/circles/{circle_id}/accept", accept, Who.ADMIN),
    Route("POST", "/network/circles/{circle_id}/decline", decline, Who.ADMIN),
    Route("POST", "/network/circles/{circle_id}/leave", leave, Who.ADMIN),
)
