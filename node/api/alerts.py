"""Alerts: preview, send, follow; and the inbox."""

from __future__ import annotations

from almenara.node import models
from almenara.node.api.requests import AlertNew, PreviewAsked
from almenara.node.api.route import Call, Query, Route
from almenara.node.problem import Kind, Problem

INBOX_LIMIT = 100
INBOX_MOST = 500  # keeps one answer below about a megabyte


async def preview(call: Call) -> models.Preview:
    """Show exactly what would leave, and to whom."""
    asked: PreviewAsked = call.takes
    return await call.service.preview(call.actor, asked.case_id, asked.circle_id, asked.status)


async def send(call: Call) -> models.AlertSent:
    """Send what was previewed."""
    new: AlertNew = call.takes
    return await call.service.send(
        call.actor, new.case_id, new.circle_id, body_sha256=new.body_sha256, statement=new.statement, status=new.status
    )


async def alert(call: Call) -> models.AlertDetail:
    """One alert; with its recipients where it is ours."""
    return await call.service.alert(call.actor, call.path("alert_id"))


async def inbox(call: Call) -> models.Inbox:
    """Others' alerts in order of arrival."""
    query = call.request.query
    return await call.service.inbox(call.actor, query.get("after"), _limit(query.get("limit", str(INBOX_LIMIT))))


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= INBOX_MOST):
        raise Problem(Kind.WRONG_TYPE, field="limit", expected=f"1–{INBOX_MOST}", got=text[:20])
    return int(text)


async def forks(call: Call) -> models.Forks:
    """Where authors contradict themselves."""
    return await call.service.forks(call.actor)


async def settle_forks(call: Call) -> models.ForksSettled:
    """Both versions were ours."""
    return await call.service.settle_forks(call.actor)


ROUTES = (
    Route(
        method="GET",
        path="/forks",
        handle=forks,
        answers=models.Forks,
        summary="Where authors contradict themselves",
    ),
    Route(
        method="POST",
        path="/forks/settle",
        handle=settle_forks,
        answers=models.ForksSettled,
        summary="Say that both versions of ours were ours",
    ),
    Route(
        method="POST",
        path="/alerts/preview",
        handle=preview,
        takes=PreviewAsked,
        answers=models.Preview,
        summary="Show exactly what would leave, to whom, and what stays",
    ),
    Route(
        method="POST",
        path="/alerts",
        handle=send,
        takes=AlertNew,
        answers=models.AlertSent,
        status=201,
        idempotent=True,
        summary="Send what was previewed; with an Idempotency-Key a repetition answers the same and sends nothing",
    ),
    Route(
        method="GET",
        path="/alerts/{alert_id}",
        handle=alert,
        answers=models.AlertDetail,
        summary="Read one alert; for our own, how far it came with every recipient",
    ),
    Route(
        method="GET",
        path="/inbox",
        handle=inbox,
        answers=models.Inbox,
        summary="Others' alerts in order of arrival",
        query=(
            Query(name="after", summary="The `next` of the page before", schema={"type": "string"}),
            Query(
                name="limit",
                summary="How many at most",
                schema={"type": "integer", "minimum": 1, "maximum": INBOX_MOST, "default": INBOX_LIMIT},
            ),
        ),
    ),
)
