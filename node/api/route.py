"""One route, described once: aiohttp's router and the OpenAPI document are both made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import ValidationError

from almenara.node.api.access import require
from almenara.node.api.answers import as_json, refusal
from almenara.node.api.keys import ACTOR, SERVICE
from almenara.node.api.repetitions import KEY_HEADER, REPETITIONS
from almenara.node.cases.reading import parse_document
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.models import Model
    from almenara.node.people import Actor
    from almenara.node.service import Service

MEDIA_TYPE = "application/json"
_KINDS = {
    "extra_forbidden": Kind.UNKNOWN_FIELD,
    "literal_error": Kind.UNKNOWN_CODE,
    "string_too_long": Kind.TOO_LONG,
}
_EXPECTED = {"missing": "a value", "extra_forbidden": "only fields of the schema", "string_type": "text"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request that came through all guards: who asks whom for what. `takes` is None where no object is taken."""

    request: web.Request
    service: Service
    caller: Actor | None
    document: dict[str, Any]
    takes: Any

    @property
    def actor(self) -> Actor:
        """Who asks; raises `Unauthorised` when nobody said."""
        return require(self.caller)

    def path(self, name: str) -> str:
        """An identifier in the path, as it was written."""
        return self.request.match_info[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Method and path under /api/v1, the handler, and what goes in and out.

    `open` routes answer without credentials; `document` ones take any JSON object and check it themselves; `idempotent`
    ones may be repeated with an Idempotency-Key; `streams` ones read a file from the body themselves.
    """

    method: str
    path: str
    summary: str
    handle: Callable[[Call], Awaitable[Model | web.StreamResponse | dict[str, Any]]]
    answers: type[Model] | None = None
    takes: type[Model] | None = None
    document: bool = False
    status: int = 200
    open: bool = False
    idempotent: bool = False
    streams: bool = False
    query: tuple[Query, ...] = ()
    headers: tuple[Query, ...] = ()
    media_type: str = MEDIA_TYPE

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; problems in the form of RFC 9457."""
        try:
            caller = request[ACTOR] if self.open else require(request[ACTOR])
            document = await self._document(request)
            call = Call(request, request.config_dict[SERVICE], caller, document, self._taken(document))
            if self.idempotent and KEY_HEADER in request.headers:
                return await request.config_dict[REPETITIONS].once(request, call.actor, lambda: self._answer(call))
            return await self._answer(call)
        except Problem as problem:
            return refusal(problem)

    async def _answer(self, call: Call) -> web.StreamResponse:
        answer = await self.handle(call)
        if isinstance(answer, web.StreamResponse):
            return answer
        return as_json(answer if isinstance(answer, dict) else answer.dump(), status=self.status)

    async def _document(self, request: web.Request) -> dict[str, Any]:
        if self.takes is None and not self.document:
            return {}
        if request.content_type != MEDIA_TYPE:  # a form of another page can send any other type without asking
            raise Problem(Kind.MALFORMED, field="Content-Type", expected=MEDIA_TYPE, got=request.content_type[:80])
        return parse_document(await request.read())

    def _taken(self, document: dict[str, Any]) -> Model | None:
        if self.takes is None:
            return None
        try:
            return self.takes.model_validate(document)
        except ValidationError as error:
            raise _problem(error) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One parameter of the query or the headers, with its JSON Schema."""

    name: str
    summary: str
    schema: dict[str, Any]


def _problem(error: ValidationError) -> Problem:
    """Say what the first fault is: field, what was expected, never the value that came (it may be a password)."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind = first["type"]
    return Problem(
        _KINDS.get(kind, Kind.WRONG_TYPE),
        N_("The request does not fit the schema of this route."),
        field=".".join(str(step)[:80] for step in first["loc"]),
        expected=str(first.get("ctx", {}).get("expected", _EXPECTED.get(kind, first["msg"]))),
    )
