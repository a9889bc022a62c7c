"""Today: what needs somebody now, and what is red."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.words import N_

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node import models

URGENT = frozenset({"Immediate", "Expected"})
GRAVE = frozenset({"Extreme", "Severe"})
LOOKED_AT = 100  # newest alerts among which the urgent ones are looked for
SHOWN = 6  # urgent alerts on the page; the inbox has all


@dataclass(frozen=True)
class Step:
    """One of the first steps with a new node; done or not by what the node holds, so it can be left and resumed."""

    words: str
    address: str
    done: bool


async def show(visit: Visit) -> web.StreamResponse:
    """Answer what needs somebody now."""
    service, actor = visit.service, visit.actor
    status, newest = await asyncio.gather(service.status(actor), service.recent(actor, None, LOOKED_AT))
    urgent = [alert for alert in newest.alerts if is_urgent(alert)]
    works = visit.role != "viewer"
    peers = (await service.peers(actor)).peers if works else []
    circles = (await service.circles(actor)).circles if works else []
    cases = (await service.cases(actor)).cases if works else []
    return visit.page(
        "today.html",
        here="today",
        node_status=status,
        urgent=urgent[:SHOWN],
        urgent_count=len(urgent),
        compare=[peer for peer in peers if peer.state == "unconfirmed"],
        invitations=[circle for circle in circles if circle.state == "invited"],
        drafts=[case for case in cases if case.state == "draft"],
        steps=_first_steps(peers, cases) if visit.role == "admin" else [],
    )


def is_urgent(alert: models.Alert) -> bool:
    """Grave, near, and real: an exercise or a test never stands among the urgent."""
    view = alert.view
    return (
        alert.state in {"current", "forked"}  # its author contradicts itself, and the warning may be true all the same
        and view.get("status") == "Actual"
        and view.get("severity") in GRAVE
        and view.get("urgency") in URGENT
    )


def _first_steps(peers: list[models.Peer], cases: list[models.CaseSummary]) -> list[Step]:
    steps = [
        Step(N_("Pair with a first organisation"), "/network/pair", bool(peers)),
        Step(
            N_("Compare the code with them, and wait until they have confirmed"),
            "/network",
            any(peer.state == "verified" for peer in peers),
        ),
        Step(N_("Write a first case"), "/cases/new", bool(cases)),
        Step(N_("Send it as an exercise"), "/cases", any(case.sent for case in cases)),
    ]
    return [] if all(step.done for step in steps) else steps


async def clock_is_right(visit: Visit) -> web.StreamResponse:
    """Somebody compared both times: what waited for it goes on."""
    await visit.service.settle_clock(visit.actor)
    return visit.go("/", "clock-right")


async def both_were_ours(visit: Visit) -> web.StreamResponse:
    """What stands against each other was all sent by this organisation: sending goes on."""
    await visit.service.settle_forks(visit.actor)
    return visit.go("/", "forks-settled")


ROUTES = (
    Route("POST", "/forks", both_were_ours, Who.ADMIN),
    Route("GET", "/", show),
    Route("POST", "/clock", clock_is_right, Who.CASE_WORKER),
)
