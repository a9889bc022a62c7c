"""From any JSON object to a case, or to a draft with its problems: bad input gets a clear answer and nothing is lost.

A problem names the field, what was expected and what came. Of a field that never leaves, and of one nobody knows, only
type and length are told, so that a problem may be shown, logged and sent to a client.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from almenara.node.cases.case import (
    Case,
    Consent,
    Evidence,
    Part,
    Person,
    Place,
    Source,
    Transnational,
    is_local,
)
from almenara.node.cases.consent import NAMED_STATES, SHARING_STATES
from almenara.node.cases.occurrence import parse_occurrence
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024  # a hundred persons and a hundred pieces of evidence at their limits stay below
_MAX_GOT = 64  # characters of a code that are shown back

_OWN_CODES = {"consent.state", "consent.basis"}  # they stay here, but they tell nothing of a person
_CODE_LIKE = re.compile(r"[A-Za-z0-9:+._-]{1,64}", re.ASCII)
_PARTS: tuple[type[Part], ...] = (Case, Person, Source, Evidence, Place, Transnational, Consent)
_FIELDS = {name for part in _PARTS for name in part.model_fields}
_EXPECTED = {
    "missing": "a value",
    "string_type": "text",
    "list_type": "a list",
    "model_type": "an object",
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
    "extra_forbidden": "a field of the case schema",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "too_short": ("min_length", "at least {} of them"),
    "too_long": ("max_length", "at most {} of them"),
}
_KINDS = {"too_long": Kind.TOO_LONG, "extra_forbidden": Kind.UNKNOWN_FIELD}


class Gazetteer(Protocol):
    """What reading a case needs to know of places; `minimise.place.Places` is one."""

    def has_country(self, code: str) -> bool:
        """Tell whether ISO 3166-1 (and XK) has this alpha-2 code."""

    def country_of(self, admin1: str) -> str | None:
        """Give the country of a current ISO 3166-2 code without parent, None if there is no such code."""

    def lies_in(self, code: str, lat: float, lon: float) -> bool | None:
        """Tell whether a point lies in a country or admin-1, None where the shipped shapes cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of a document: a case that is ready, or None and the problems that keep it a draft."""

    document: dict[str, Any]
    case: Case | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[dict[str, str], ...] = ()

    @property
    def state(self) -> str:
        """`ready`, or `draft` while there are problems."""
        return "draft" if self.case is None else "ready"


def parse_document(data: bytes | str) -> dict[str, Any]:
    """Read one JSON object. Raises Problem(MALFORMED) for anything else, for repeated keys, NaN and excessive size."""
    size = len(data)
    try:
        if size > MAX_DOCUMENT_BYTES:
            raise Problem(Kind.TOO_LONG, expected=f"at most {MAX_DOCUMENT_BYTES} bytes", got=f"{size} bytes")
        found = json.loads(data, object_pairs_hook=_no_repeats, parse_constant=_no_constants)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate is no text and could never be stored
    except (ValueError, RecursionError):
        raise Problem(Kind.MALFORMED, expected="a JSON object", got=f"text of {size} bytes") from None
    if not isinstance(found, dict):
        raise Problem(Kind.MALFORMED, expected="a JSON object", got=describe(found))
    return found


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def describe(value: Any) -> str:
    """Tell type and length of a value, never the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"text of {len(value.encode(errors='replace'))} bytes"
    return f"a list of {len(value)}" if isinstance(value, list) else f"an object of {len(value)} fields"


def _got(path: str, value: Any) -> str:
    if isinstance(value, str) and (path in _OWN_CODES or not is_local(path)) and _CODE_LIKE.fullmatch(value):
        return value[:_MAX_GOT]
    return describe(value)


def read_case(document: object, *, places: Gazetteer, now_ms: int) -> Reading:
    """Check a JSON value against SCHEMAS §2; `now_ms` is milliseconds since 1970 UTC.

    Raises Problem(MALFORMED) only for what is not a JSON object; every other fault makes a draft with its problems.
    """
    if not isinstance(document, dict):
        raise Problem(Kind.MALFORMED, expected="a JSON object", got=describe(document))
    case, problems = _validate(document)
    problems += [*_place_problems(document, places), *_consent_problems(document), *_time_problems(document, now_ms)]
    if problems or case is None:
        return Reading(document=document, case=None, problems=tuple(_once_per_field(problems)))
    return Reading(document=case.document(), case=case, warnings=tuple(_warnings(case, places)))


def _validate(document: dict[str, Any]) -> tuple[Case | None, list[Problem]]:
    try:
        return Case.model_validate(document), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        return None, [_problem(one) for one in found if one["type"] != "none_required"]


def _problem(error: ErrorDetails) -> Problem:
    path = _path(error)
    missing = error["type"] == "missing"
    kind = _KINDS.get(error["type"], Kind.WRONG_TYPE)
    context = error.get("ctx", {})
    if error["type"] in set(Kind):
        kind, expected = Kind(error["type"]), str(context["expected"])
    elif error["type"] in _BOUNDS:
        key, form = _BOUNDS[error["type"]]
        expected = form.format(context[key])
    else:
        expected = _EXPECTED.get(error["type"], "another form")
    if missing and path in {"consent", "consent.state"}:
        kind = Kind.CONSENT_MISSING
    return Problem(kind, field=path, expected=expected, got="nothing" if missing else _got(path, error["input"]))


def _path(error: ErrorDetails) -> str:
    """Give the dotted path of a field, without the steps pydantic takes into `T | None`."""
    *above, last = error["loc"]
    steps = [step for step in above if isinstance(step, int) or step in _FIELDS]
    if isinstance(last, int) or last in _FIELDS or error["type"] == "extra_forbidden":
        steps.append(last)
    return ".".join(str(step)[:_MAX_GOT] for step in steps)


def _once_per_field(problems: list[Problem]) -> list[Problem]:
    return list({problem.field: problem for problem in reversed(problems)}.values())[::-1]


def _at(document: dict[str, Any], *path: str) -> Any:
    found: Any = document
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _place_problems(document: dict[str, Any], places: Gazetteer) -> Iterator[Problem]:
    for path in (("place", "country"), ("transnational", "origin"), ("transnational", "host")):
        code = _at(document, *path)
        if isinstance(code, str) and not places.has_country(code):
            field = ".".join(path)
            expected = "an ISO 3166-1 alpha-2 country code, or XK"
            yield Problem(Kind.PLACE_UNKNOWN, field=field, expected=expected, got=_got(field, code))
    country, admin1 = _at(document, "place", "country"), _at(document, "place", "admin1")
    if isinstance(country, str) and isinstance(admin1, str) and admin1 and places.country_of(admin1) != country:
        expected = "a current ISO 3166-2 code without parent, of this country"
        yield Problem(Kind.PLACE_UNKNOWN, field="place.admin1", expected=expected, got=_got("place.admin1", admin1))


def _consent_problems(document: dict[str, Any]) -> Iterator[Problem]:
    state = _at(document, "consent", "state")
    if not isinstance(state, str) or state not in SHARING_STATES:
        return
    next_step = N_("Record who gave the consent, and for whom")
    if not _at(document, "consent", "basis"):
        yield Problem(
            Kind.CONSENT_MISSING, field="consent.basis", expected="who consented", got="nothing", next=next_step
        )
    if state in NAMED_STATES and not _at(document, "consent", "audience"):
        yield Problem(
            Kind.AUDIENCE_EMPTY,
            field="consent.audience",
            expected="ids of nodes or circles",
            got="nothing",
            next=next_step,
        )


def _time_problems(document: dict[str, Any], now_ms: int) -> Iterator[Problem]:
    written = document.get("occurred_at")
    if not isinstance(written, str) or document.get("phase") == "prospective":
        return
    try:
        ahead = parse_occurrence(written).begins > datetime.fromtimestamp(now_ms / 1000, UTC)
    except (ValueError, OverflowError):
        return  # the model has said what is wrong with it
    if ahead:
        expected = "a time that has begun, or the phase prospective"
        yield Problem(Kind.WRONG_TYPE, field="occurred_at", expected=expected, got=_got("occurred_at", written))


def _warnings(case: Case, places: Gazetteer) -> Iterator[dict[str, str]]:
    point = case.place.point
    if point is None:
        return
    for field, code in (("place.country", case.place.country), ("place.admin1", case.place.admin1)):
        if code and places.lies_in(code, *point) is False:
            yield {
                "field": field,
                "code": "point-outside",
                "detail": N_("The point lies outside this place."),
                "next": N_("Check the point and the place"),
            }
