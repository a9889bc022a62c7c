"""Cases: keeping and reading them. They never leave the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node import models
from almenara.node.api.answers import as_json
from almenara.node.api.keys import PROBLEM_TYPE
from almenara.node.api.route import Call, Route

if TYPE_CHECKING:
    from typing import Any

    from aiohttp import web

_UNREADABLE = 422


async def add(call: Call) -> models.CaseAdded | web.Response:
    """Keep a case. One that breaks a rule is kept as a draft, and the answer is its first problem (SCHEMAS §2)."""
    record = await call.service.save_case(call.actor, call.document)
    if record.state == "draft":
        return _draft(record)
    return models.CaseAdded(case_id=record.case_id, state="ready", warnings=record.warnings)


def _draft(record: models.CaseRecord) -> web.Response:
    first: dict[str, Any] = record.problems[0] if record.problems else {}
    told = first | {"status": _UNREADABLE, "case_id": record.case_id, "problems": record.problems}
    response = as_json(told, status=_UNREADABLE)
    response.content_type = PROBLEM_TYPE
    return response


async def cases(call: Call) -> models.Cases:
    """List cases, newest first."""
    return await call.service.cases(call.actor)


async def case(call: Call) -> models.CaseRecord:
    """One case, whole."""
    return await call.service.case(call.actor, call.path("case_id"))


ROUTES = (
    Route(
        method="POST",
        path="/cases",
        handle=add,
        document=True,
        answers=models.CaseAdded,
        status=201,
        idempotent=True,
        summary="Keep a case (GET schemas/case); one that breaks a rule is kept as a draft and refused with 422",
    ),
    Route(method="GET", path="/cases", handle=cases, answers=models.Cases, summary="List cases"),
    Route(method="GET", path="/cases/{case_id}", handle=case, answers=models.CaseRecord, summary="Read one case"),
)
