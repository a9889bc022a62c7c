"""The forms of values a case is made of: texts with limits in UTF-8 bytes, codes, dates, countries (SCHEMAS §1).

Each check raises `PydanticCustomError`, whose type is a problem kind (`node.problem.Kind`) and whose context says what
was expected; `reading.py` turns them into problems. Texts are brought to NFC on the way in: what a phone or a Mac
composed differently is the same text.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from almenara.crypto.errors import CryptoError
from almenara.crypto.identity import NodeId
from almenara.node.problem import Kind
from almenara.protocol import vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

SHORT_BYTES = 200  # names, numbers, handles: one line on paper
LONG_BYTES = 500  # an address, where evidence lies, what a person was told
DETAIL_BYTES = 2_000  # half a page
NARRATIVE_BYTES = 20_000  # six pages
MANY = 100  # persons, pieces of evidence
SOME = 50  # names or numbers of one kind
FEW = 8  # requests or offers of one alert
MOST_THREATS = 6

_SHOWN_CODES = 12  # longer lists are named, not spelled out, in an error


def failure(kind: Kind, expected: str) -> PydanticCustomError:
    """Build the error of a value that breaks a rule; it never holds the value."""
    return PydanticCustomError(kind.value, "expected {expected}", {"expected": expected})


@dataclass(frozen=True)
class Checked:
    """Metadata for `Annotated`: a check after (or, for `before`, instead of) the type's own, and its JSON Schema."""

    check: Callable[[Any], Any]
    schema: tuple[tuple[str, Any], ...] = ()
    before: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if self.before:
            return core_schema.no_info_before_validator_function(self.check, handler(source))
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | dict(self.schema)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t"


def _text(limit: int, *, required: bool = False) -> Checked:
    def check(value: str) -> str:
        value = unicodedata.normalize("NFC", value)
        if any(map(_is_control, value)):
            raise failure(Kind.WRONG_TYPE, "text without control characters other than newline and tab")
        if len(value.encode()) > limit:
            raise failure(Kind.TOO_LONG, f"text of at most {limit} bytes")
        if required and not value.strip():
            raise failure(Kind.WRONG_TYPE, "text that is not empty")
        return value

    # JSON Schema counts characters; a text within the limit in bytes is within it in characters too.
    least = (("minLength", 1),) if required else ()
    return Checked(check, (*least, ("maxLength", limit), ("description", f"At most {limit} bytes of UTF-8, NFC.")))


Name = Annotated[str, _text(SHORT_BYTES, required=True)]
Short = Annotated[str, _text(SHORT_BYTES)]
CaseNumber = Annotated[str, _text(100)]
Long = Annotated[str, _text(LONG_BYTES)]
Detail = Annotated[str, _text(DETAIL_BYTES)]
Narrative = Annotated[str, _text(NARRATIVE_BYTES)]


def _code(name: str) -> Checked:
    known = vocabulary.codes(name)
    expected = ", ".join(known) if len(known) <= _SHOWN_CODES else f"a code of the list {name}"

    def check(value: str) -> str:
        if value not in known:
            raise failure(Kind.UNKNOWN_CODE, expected)
        return value

    return Checked(check, (("enum", list(known)),))


Threat = Annotated[str, _code("threat")]
Phase = Annotated[str, _code("phase")]
Severity = Annotated[str, _code("severity")]
Urgency = Annotated[str, _code("urgency")]
Certainty = Annotated[str, _code("certainty")]
Verification = Annotated[str, _code("verification")]
PermittedActions = Annotated[str, _code("permitted_actions")]
Perpetrator = Annotated[str, _code("perpetrator")]
TargetUnit = Annotated[str, _code("target_unit")]
Role = Annotated[str, _code("role")]
Issue = Annotated[str, _code("issue")]
NetworkShows = Annotated[str, _code("network_shows")]
Situation = Annotated[str, _code("situation")]
Reprisal = Annotated[str, _code("reprisal")]
Response = Annotated[str, _code("response")]
Tlp = Annotated[str, _code("tlp")]
Channel = Annotated[str, _code("channel")]
Mode = Annotated[str, _code("mode")]
LegalPretext = Annotated[str, _code("legal_pretext")]
Context = Annotated[str, _code("context")]
AffectedCircle = Annotated[str, _code("affected_circle")]
Relation = Annotated[str, _code("relation")]
IdentityFactor = Annotated[str, _code("identity_factor")]
Reliability = Annotated[str, _code("source_reliability")]
ConsentState = Annotated[str, _code("consent_state")]
ConsentBasis = Annotated[str, _code("consent_basis")]


def _digit(value: Any) -> Any:
    """Take the Admiralty digit as a number, too; it is kept as the vocabulary's text."""
    return str(value) if type(value) is int else value


Credibility = Annotated[
    str,
    _code("information_credibility"),
    Checked(_digit, (("type", ["string", "integer"]), ("enum", [*"123456", *range(1, 7)])), before=True),
]


def _shaped(pattern: str, kind: Kind, expected: str) -> Checked:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise failure(kind, expected)
        return value

    return Checked(check, (("pattern", f"^{pattern}$"),))


Country = Annotated[str, _shaped("[A-Z]{2}", Kind.PLACE_UNKNOWN, "an ISO 3166-1 alpha-2 country code, or XK")]
Admin1 = Annotated[
    str, _shaped("[A-Z]{2}-[A-Z0-9]{1,3}", Kind.PLACE_UNKNOWN, "a current ISO 3166-2 code without parent")
]
Digest = Annotated[str, _shaped("[0-9a-fA-F]{64}", Kind.WRONG_TYPE, "64 hexadecimal digits")]


def _date(value: str) -> str:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise failure(Kind.WRONG_TYPE, "a date such as 2026-11-20")


Date = Annotated[str, Checked(_date, (("format", "date"),))]


def _node_or_circle(value: str) -> str:
    """Bring a node id or a circle id to its one written form."""
    text = value.strip()
    try:
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
            return str(uuid.UUID(text))
        return NodeId.parse(text).text
    except (CryptoError, ValueError):
        raise failure(Kind.WRONG_TYPE, "a node id of 56 letters or a circle id") from None


Audience = Annotated[str, Checked(_node_or_circle)]


def _not_null(value: Any) -> Any:
    if value is None:
        raise failure(Kind.WRONG_TYPE, "a value, or no key at all")
    return value


NOT_NULL = Checked(_not_null, before=True)  # what is absent has no key (SCHEMAS §1)
