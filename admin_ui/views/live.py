"""Changes as they happen: numbered server-sent events that carry identifiers only; pages fetch themselves again."""

from __future__ import annotations

import json

from aiohttp import ClientConnectionResetError, web

from almenara.admin_ui.guard import session
from almenara.admin_ui.security import dress
from almenara.admin_ui.visit import Route, Visit

PATIENCE = 20.0  # seconds between two signs of life, under the 30 s after which proxies give up


async def events(visit: Visit) -> web.StreamResponse:
    """Follow what changes until the reader leaves, her session ends or the vault closes."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    dress(answer)
    try:
        await answer.prepare(visit.request)
        await _follow(visit, answer)
        await answer.write(b"event: ended\ndata: -\n\n")
    except ClientConnectionResetError:
        pass  # the reader left; nothing to say, and above all no address to log
    return answer


async def _follow(visit: Visit, answer: web.StreamResponse) -> None:
    service = visit.service
    seen = _last_seen(visit.request, service.last_event)
    await answer.write(b"retry: 3000\n\n")
    while await session(visit.request, service):
        happened = await service.wait_event(seen, PATIENCE)
        for seen, event in happened:
            await answer.write(f"id: {seen}\nevent: {event.kind}\ndata: {json.dumps(event.ref)}\n\n".encode())
        if not happened:
            await answer.write(b": still here\n\n")


def _last_seen(request: web.Request, newest: int) -> int:
    """Where a stream goes on: after what the page holds already. A number from before a restart starts over."""
    told = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    known = told.isascii() and told.isdecimal() and len(told) < 16
    return newest if not known else int(told) if int(told) <= newest else 0


ROUTES = (Route("GET", "/events", events),)
