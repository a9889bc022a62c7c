"""The node itself: its state, its people, its schemas."""

from __future__ import annotations

from typing import Any

from almenara.node import models
from almenara.node.api.requests import PersonNew
from almenara.node.api.route import Call, Route
from almenara.node.cases.case import json_schema_case
from almenara.protocol.alert import json_schema_alert


async def status(call: Call) -> models.Status:
    """How the node is; without credentials only whether it is ready (health checks)."""
    return await call.service.status(call.caller)


async def clock(call: Call) -> models.Clock:
    """What this computer says, and whether that is in doubt."""
    return await call.service.clock(call.actor)


async def settle_clock(call: Call) -> models.Clock:
    """A person says that this computer's clock is right."""
    return await call.service.settle_clock(call.actor)


async def add_person(call: Call) -> models.Person:
    """Let somebody sign in to the panel."""
    new: PersonNew = call.takes
    return await call.service.add_person(call.actor, new.name, new.role, new.password)


async def schema_case(_call: Call) -> dict[str, Any]:
    """JSON Schema 2020-12 of a case."""
    return json_schema_case()


async def schema_alert(_call: Call) -> dict[str, Any]:
    """JSON Schema 2020-12 of an alert."""
    return json_schema_alert()


ROUTES = (
    Route(
        method="GET",
        path="/status",
        handle=status,
        answers=models.Status,
        open=True,
        summary="How the node is; without credentials only state, name and version",
    ),
    Route(
        method="GET",
        path="/clock",
        handle=clock,
        answers=models.Clock,
        summary="What this computer's clock says, and whether that is in doubt",
    ),
    Route(
        method="POST",
        path="/clock",
        handle=settle_clock,
        answers=models.Clock,
        summary="Say that this computer's clock is right",
    ),
    Route(
        method="POST",
        path="/people",
        handle=add_person,
        takes=PersonNew,
        answers=models.Person,
        status=201,
        summary="Let somebody sign in to the panel",
    ),
    Route(method="GET", path="/schemas/case", handle=schema_case, open=True, summary="JSON Schema 2020-12 of a case"),
    Route(
        method="GET", path="/schemas/alert", handle=schema_alert, open=True, summary="JSON Schema 2020-12 of an alert"
    ),
)
