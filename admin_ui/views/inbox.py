"""The inbox: what others told us, newest first, and one alert in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almenara.admin_ui.facts import alert_facts
from almenara.admin_ui.states import ALERT, DELIVERY
from almenara.admin_ui.visit import Route, Visit

if TYPE_CHECKING:
    from aiohttp import web

SHOWN = 100  # alerts on one page

SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")


async def show(visit: Visit) -> web.StreamResponse:
    """One page of the list, newest first, narrowed by circle and severity if asked."""
    query = visit.request.query
    page = await visit.service.recent(visit.actor, query.get("before"), SHOWN)
    circle, severity = query.get("circle", ""), query.get("severity", "")
    chosen = [
        alert
        for alert in page.alerts
        if circle in {"", alert.circle_id} and severity in {"", alert.view.get("severity", "Unknown")}
    ]
    circles = sorted({(alert.circle_id, alert.circle) for alert in page.alerts}, key=lambda pair: pair[1])
    return visit.page(
        "inbox.html",
        here="inbox",
        alerts=chosen,
        total=len(page.alerts),
        older=page.next,
        before=query.get("before", ""),
        circles=circles,
        circle=circle,
        severity=severity,
        severities=[(code, visit.reader.label("severity", code)) for code in SEVERITIES],
    )


async def alert(visit: Visit) -> web.StreamResponse:
    """One alert: facts, place, who stands behind it, its life; for our own also how far it has come."""
    found = await visit.service.alert(visit.actor, visit.request.match_info["alert_id"])
    return visit.page(
        "alert.html",
        here="inbox" if found.recipients is None else "cases",
        alert=found,
        facts=alert_facts(visit.reader, found.view),
        versions=[Shown(one.received_at, alert_facts(visit.reader, one.view)) for one in found.versions or ()],
        states=ALERT,
        deliveries=DELIVERY,
    )


@dataclass(frozen=True)
class Shown:
    """Another version of the same alert, and when it came."""

    received_at: str
    facts: object


ROUTES = (
    Route("GET", "/inbox", show),
    Route("GET", "/alerts/{alert_id}", alert),
)
