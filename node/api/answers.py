"""What the API answers: JSON, and problems in the form of RFC 9457."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from almenara.node.api.keys import PROBLEM_TYPE

if TYPE_CHECKING:
    from almenara.node.problem import Problem


def as_json(value: dict[str, Any], *, status: int = 200) -> web.Response:
    """One JSON object."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def refusal(problem: Problem, *, status: int | None = None, **members: Any) -> web.Response:
    """A problem as the response; `status` where HTTP has a more exact one, `members` beyond those of the problem."""
    told = problem.as_json() | {"status": status or problem.status} | members
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    response = web.Response(text=text, status=told["status"], content_type=PROBLEM_TYPE)
    if response.status == web.HTTPUnauthorized.status_code:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response
