"""The inbox: what others told us, newest first, and one alert in full."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from almenara.admin_ui.facts import alert_facts
from almenara.admin_ui.states import ALERT, DELIVERY
from almenara.admin_ui.visit import Route, Visit

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node import models

SHOWN = 100  # alerts on one page

SEVERITIES = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")


async def newest(visit: Visit) -> list[models.Alert]:
    """Give the newest alerts of others, newest first."""
    kept: deque[models.Alert] = deque(maxlen=SHOWN)
    after: str | None = None
    while True:
        page = await visit.service.inbox(visit.actor, after, 500)
        kept.extend(page.alerts)
        if not page.alerts:
            return list(reversed(kept))
        after = page.next


async def show(visit: Visit) -> web.StreamResponse:
    """The list, narrowed by circle and severity if asked."""
    alerts = await newest(visit)
    query = visit.request.query
    circle, severity = query.get("circle", ""), query.get("severity", "")
    chosen = [
        alert
        for alert in alerts
        if circle in {"", alert.circle_id} and severity in {"", alert.view.get("severity", "Unknown")}
    ]
    circles = sorted({(alert.circle_id, alert.circle) for alert in alerts}, key=lambda pair: pair[1])
    return visit.page(
        "inbox.html",
        here="inbox",
        alerts=chosen,
        total=len(alerts),
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
        states=ALERT,
        deliveries=DELIVERY,
    )


ROUTES = (
    Route("GET", "/inbox", show),
    Route("GET", "/alerts/{alert_id}", alert),
)
