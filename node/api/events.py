"""Server-sent events: what has changed, for pages and programs that look at it. Identifiers only, never content."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import ClientConnectionResetError, hdrs, web

from almenara.node.api.route import Call, Route

if TYPE_CHECKING:
    from almenara.node.service import Service

PULSE_S = 15  # a comment this often shows both sides that the line is alive
PULSES = 20  # then the reader connects again, and its credentials are checked again
RETRY_MS = 2000


async def events(call: Call) -> web.StreamResponse:
    """Stream changes after Last-Event-ID, or from now."""
    given = call.request.headers.get("Last-Event-ID", "")
    known = given.isascii() and given.isdecimal() and len(given) < 16
    after = min(int(given), call.service.last_event) if known else call.service.last_event
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8"})
    # A reader that leaves is no error, and aiohttp would log it together with the reader's address.
    with suppress(ClientConnectionResetError, ConnectionResetError):
        await response.prepare(call.request)
        await _stream(response, call.service, after)
    return response


async def _stream(response: web.StreamResponse, service: Service, after: int) -> None:
    await response.write(f"retry: {RETRY_MS}\nid: {after}\n\n".encode())
    for _ in range(PULSES):
        found = await service.wait_event(after, PULSE_S)
        for number, event in found:
            data = json.dumps({"kind": event.kind, "ref": event.ref})
            await response.write(f"id: {number}\nevent: {event.kind}\ndata: {data}\n\n".encode())
            after = number
        if not found:
            await response.write(b":\n\n")


ROUTES = (
    Route(
        method="GET",
        path="/events",
        handle=events,
        media_type="text/event-stream",
        summary="What has changed, as it changes (server-sent events); continues after Last-Event-ID",
    ),
)
