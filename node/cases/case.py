"""The case: every field a node keeps about an event, and what of it may leave (SCHEMAS §2).

The model is strict: a field outside it is refused, null is refused, a flag is a real boolean. What is absent reads as
`""`, `[]` or an empty part. `document()` gives back what was written, without defaults.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic evaluates the annotations

from almenara.node.cases import fields as f
from almenara.node.cases.occurrence import FORMS, parse_occurrence
from almenara.node.problem import Kind


class Part(BaseModel):
    """Base of a case and of its parts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Person(Part):
    """Somebody the case is about or who knows of it. Never leaves."""

    name: f.Name
    aliases: list[f.Short] = Field(default=[], max_length=f.SOME)
    relation: f.Relation = ""
    phone: f.Short = ""
    email: f.Short = ""
    handles: list[f.Short] = Field(default=[], max_length=f.SOME)
    address: f.Long = ""
    document_ids: list[f.Short] = Field(default=[], max_length=f.SOME)
    birth_date: f.Short = ""
    identity_factors: list[f.IdentityFactor] = Field(default=[], max_length=f.SOME)


class Source(Part):
    """Who told us, and how far we trust it (Admiralty code). Never leaves."""

    name: f.Short = ""
    contact: f.Short = ""
    reliability: f.Reliability = ""
    credibility: f.Credibility = ""


class Evidence(Part):
    """A document or object that supports the case, and where it lies. Never leaves."""

    label: f.Name
    where: f.Long = ""
    sha256: f.Digest = ""


class Transnational(Part):
    """Repression across a border: the State it comes from and the country it reaches into."""

    origin: f.Country
    host: f.Country


_Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
_Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class Place(Part):
    """Where. Only `country` and `admin1` can leave as they are; a point leaves as a cell or an area, or not at all."""

    country: f.Country
    admin1: f.Admin1 = ""
    lat: Annotated[_Latitude | SkipJsonSchema[None], f.NOT_NULL] = None
    lon: Annotated[_Longitude | SkipJsonSchema[None], f.NOT_NULL] = None
    locality: f.Short = ""

    @property
    def point(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees, if known."""
        return None if self.lat is None or self.lon is None else (self.lat, self.lon)

    @model_validator(mode="after")
    def _both_or_neither(self) -> Place:
        if (self.lat is None) != (self.lon is None):
            raise f.failure(Kind.WRONG_TYPE, "both lat and lon, or neither")
        return self


class Consent(Part):
    """What the people concerned said about sharing, and for whom. Without a sharing state a case goes to nobody."""

    state: f.ConsentState
    basis: f.ConsentBasis = ""
    recorded_on: f.Date = ""
    valid_until: f.Date = ""
    informed: f.Long = ""
    audience: list[f.Audience] = Field(default=[], max_length=f.MANY)


def _occurred_at(value: str) -> str:
    try:
        parse_occurrence(value)
    except ValueError:
        raise f.failure(Kind.WRONG_TYPE, FORMS) from None
    return value


class Case(Part):
    """A full record (`almenara schema case`). The whole of it is local; `minimise` makes of it what may leave."""

    title: f.Name
    narrative: f.Narrative = ""
    case_number: f.CaseNumber = ""
    persons: list[Person] = Field(default=[], max_length=f.MANY)
    organisations: list[f.Short] = Field(default=[], max_length=f.SOME)
    identifiers: list[f.Short] = Field(default=[], max_length=f.SOME)
    source: Source = Source()
    evidence: list[Evidence] = Field(default=[], max_length=f.MANY)
    perpetrator_detail: f.Detail = ""
    channel: f.Channel = ""
    mode: f.Mode = ""
    legal_pretext: f.LegalPretext = ""
    context: list[f.Context] = Field(default=[], max_length=f.SOME)
    affected_circle: list[f.AffectedCircle] = Field(default=[], max_length=f.SOME)
    threats: list[f.Threat] = Field(min_length=1, max_length=f.MOST_THREATS)
    phase: f.Phase
    severity: f.Severity
    urgency: f.Urgency
    certainty: f.Certainty
    verification: f.Verification = "unverified"
    permitted_actions: f.PermittedActions = "contact-for-instruction"
    perpetrator: f.Perpetrator = "unknown"
    target_unit: f.TargetUnit
    role: f.Role = "withheld"
    issue: f.Issue = "withheld"
    network_shows: f.NetworkShows = "issue"
    situation: f.Situation = ""
    transnational: Annotated[Transnational | SkipJsonSchema[None], f.NOT_NULL] = None
    reprisal: f.Reprisal = "none"
    gendered_dimension: bool = False
    requests: list[f.Response] = Field(default=[], max_length=f.FEW)
    offers: list[f.Response] = Field(default=[], max_length=f.FEW)
    place: Place
    occurred_at: Annotated[str, f.Checked(_occurred_at)] = ""
    tlp: f.Tlp = "TLP:AMBER+STRICT"
    consent: Consent

    def document(self) -> dict[str, Any]:
        """Give the case as it was written: a JSON object without defaults."""
        return self.model_dump(mode="json", exclude_unset=True)


# The fields from which an alert is made, and no others (SCHEMAS §2, "leaves as").
LEAVES = frozenset(
    {
        "threats",
        "phase",
        "severity",
        "urgency",
        "certainty",
        "verification",
        "permitted_actions",
        "perpetrator",
        "target_unit",
        "role",
        "issue",
        "network_shows",
        "situation",
        "transnational.origin",
        "transnational.host",
        "reprisal",
        "gendered_dimension",
        "requests",
        "offers",
        "place.country",
        "place.admin1",
        "occurred_at",
        "tlp",
    }
)


def is_local(path: str) -> bool:
    """Tell whether the field at `path` (`persons.0.name`) never leaves; a field nobody knows is treated as one."""
    return ".".join(step for step in path.split(".") if not step.isdecimal()) not in LEAVES


def _without_empty_defaults(schema: Any) -> Any:
    """Leave out defaults that only stand for "absent": no document may spell them as null."""
    if isinstance(schema, list):
        return [_without_empty_defaults(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_empty_defaults(value) for key, value in schema.items()}
    if "default" in kept and not isinstance(kept["default"], bool) and kept["default"] in ("", None, [], {}):
        del kept["default"]
    return kept


def json_schema_case() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a case, for `almenara schema case`."""
    schema: dict[str, Any] = _without_empty_defaults(Case.model_json_schema(mode="validation"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:almenara:schema:case:1", **schema}
