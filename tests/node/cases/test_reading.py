"""Reading a case: bad input gets a clear answer, nothing is lost, and no problem tells what must stay."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.node.cases.case import Case, is_local, json_schema_case
from almenara.node.cases.reading import Reading, parse_document, read_case
from almenara.node.cases.secrets import local_texts
from almenara.node.problem import Kind, Problem

NOW = 1_795_339_200_000  # 2026-11-22


class Atlas:
    """Two countries: enough of the world for these tests."""

    def has_country(self, code: str) -> bool:
        return code in {"KE", "CO"}

    def country_of(self, admin1: str) -> str | None:
        return {"KE-30": "KE", "CO-CAU": "CO"}.get(admin1)

    def lies_in(self, code: str, lat: float, lon: float) -> bool | None:
        return None if code == "KE-30" else lat > 0 or lon > 0


FULL: dict[str, Any] = {
    "title": "Caso ficticio",
    "narrative": "Una historia inventada.",
    "case_number": "X-2026-77",
    "persons": [
        {
            "name": "Persona Ficticia Uno",
            "aliases": ["Uno"],
            "relation": "affected",
            "phone": "+57 300 000 0001",
            "handles": ["@ficticia1"],
            "identity_factors": ["indigenous"],
        }
    ],
    "organisations": ["Organización Ficticia"],
    "identifiers": ["ABC-123"],
    "source": {"name": "Fuente Ficticia", "reliability": "B", "credibility": 2},
    "evidence": [{"label": "Foto", "where": "caja 3", "sha256": "ab" * 32}],
    "perpetrator_detail": "Patrulla 9",
    "channel": "offline",
    "context": ["election"],
    "threats": ["legal.raid-search", "intimidation.threat"],
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "perpetrator": "state.police",
    "target_unit": "individual",
    "role": "lawyer",
    "transnational": {"origin": "KE", "host": "CO"},
    "gendered_dimension": True,
    "requests": ["legal.aid"],
    "place": {"country": "CO", "admin1": "CO-CAU", "lat": 2.44, "lon": -76.61, "locality": "Vereda Ficticia"},
    "occurred_at": "2026-11-20T14:37+03:00",
    "consent": {
        "state": "share-network",
        "basis": "self",
        "recorded_on": "2026-11-20",
        "informed": "Leído en voz alta",
    },
}


def changed(**members: Any) -> dict[str, Any]:
    return copy.deepcopy(FULL) | members


def read(document: object) -> Reading:
    return read_case(document, places=Atlas(), now_ms=NOW)


def only_problem(document: dict[str, Any]) -> Problem:
    reading = read(document)
    assert reading.state == "draft"
    assert reading.document == document
    assert len(reading.problems) == 1, [problem.line() for problem in reading.problems]
    return reading.problems[0]


def test_a_full_case_is_ready_and_comes_back_as_written() -> None:
    reading = read(FULL)
    assert reading.state == "ready"
    assert reading.document == changed(source=FULL["source"] | {"credibility": "2"})
    assert reading.warnings == ()


def test_defaults_are_those_of_the_schema() -> None:
    needed = ("title", "threats", "phase", "severity", "urgency", "certainty", "target_unit", "place", "consent")
    case = Case.model_validate({name: FULL[name] for name in needed})
    assert (case.verification, case.permitted_actions, case.perpetrator) == (
        "unverified",
        "contact-for-instruction",
        "unknown",
    )
    assert (case.role, case.issue, case.network_shows, case.reprisal) == ("withheld", "withheld", "issue", "none")
    assert (case.tlp, case.gendered_dimension) == ("TLP:AMBER+STRICT", False)


@pytest.mark.parametrize(
    ("change", "kind", "field", "got"),
    [
        ({"colour": "red"}, Kind.UNKNOWN_FIELD, "colour", "text of 3 bytes"),
        ({"persons": [{"name": "A", "age": 7}]}, Kind.UNKNOWN_FIELD, "persons.0.age", "a number"),
        ({"severity": "Terrible"}, Kind.UNKNOWN_CODE, "severity", "Terrible"),
        ({"threats": ["legal.raid-search", "legal.unheard-of"]}, Kind.UNKNOWN_CODE, "threats.1", "legal.unheard-of"),
        ({"channel": "carrier-pigeon"}, Kind.UNKNOWN_CODE, "channel", "text of 14 bytes"),
        ({"threats": []}, Kind.WRONG_TYPE, "threats", "a list of 0"),
        ({"threats": ["legal.charges"] * 7}, Kind.TOO_LONG, "threats", "a list of 7"),
        ({"title": "  "}, Kind.WRONG_TYPE, "title", "text of 2 bytes"),
        ({"title": 7}, Kind.WRONG_TYPE, "title", "a number"),
        ({"title": "é" * 101}, Kind.TOO_LONG, "title", "text of 202 bytes"),
        ({"narrative": "bell\x07"}, Kind.WRONG_TYPE, "narrative", "text of 5 bytes"),
        ({"narrative": None}, Kind.WRONG_TYPE, "narrative", "null"),
        ({"transnational": None}, Kind.WRONG_TYPE, "transnational", "null"),
        ({"gendered_dimension": 1}, Kind.WRONG_TYPE, "gendered_dimension", "a number"),
        ({"gendered_dimension": "true"}, Kind.WRONG_TYPE, "gendered_dimension", "true"),
        ({"place": {"country": "ZZ"}}, Kind.PLACE_UNKNOWN, "place.country", "ZZ"),
        ({"place": {"country": "Kenya"}}, Kind.PLACE_UNKNOWN, "place.country", "Kenya"),
        ({"place": {"country": "CO", "admin1": "CO-QQQ"}}, Kind.PLACE_UNKNOWN, "place.admin1", "CO-QQQ"),
        ({"place": {"country": "CO", "admin1": "KE-30"}}, Kind.PLACE_UNKNOWN, "place.admin1", "KE-30"),
        ({"place": {"country": "CO", "lat": 2.0}}, Kind.WRONG_TYPE, "place", "an object of 2 fields"),
        ({"place": {"country": "CO", "lat": 91, "lon": 0}}, Kind.WRONG_TYPE, "place.lat", "a number"),
        ({"place": {"country": "CO", "lat": True, "lon": 0}}, Kind.WRONG_TYPE, "place.lat", "a boolean"),
        ({"place": {"country": "CO", "lat": None, "lon": 0}}, Kind.WRONG_TYPE, "place.lat", "null"),
        ({"transnational": {"origin": "ZZ", "host": "CO"}}, Kind.PLACE_UNKNOWN, "transnational.origin", "ZZ"),
        ({"occurred_at": "yesterday"}, Kind.WRONG_TYPE, "occurred_at", "yesterday"),
        ({"occurred_at": "2026-11-20T14:37"}, Kind.WRONG_TYPE, "occurred_at", "2026-11-20T14:37"),
        ({"occurred_at": "2026-13"}, Kind.WRONG_TYPE, "occurred_at", "2026-13"),
        ({"occurred_at": "2025-W53"}, Kind.WRONG_TYPE, "occurred_at", "2025-W53"),
        ({"occurred_at": "2026-12"}, Kind.WRONG_TYPE, "occurred_at", "2026-12"),
        ({"consent": {"state": "maybe"}}, Kind.UNKNOWN_CODE, "consent.state", "maybe"),
        ({"consent": {}}, Kind.CONSENT_MISSING, "consent.state", "nothing"),
        ({"consent": {"state": "publish"}}, Kind.CONSENT_MISSING, "consent.basis", "nothing"),
        ({"consent": {"state": "share-circle", "basis": "self"}}, Kind.AUDIENCE_EMPTY, "consent.audience", "nothing"),
        (
            {"consent": {"state": "refused", "audience": ["everybody"]}},
            Kind.WRONG_TYPE,
            "consent.audience.0",
            "text of 9 bytes",
        ),
        ({"consent": {"state": "refused", "recorded_on": "20-11-2026"}}, Kind.WRONG_TYPE, "consent.recorded_on", None),
        ({"evidence": [{"label": "x", "sha256": "ab"}]}, Kind.WRONG_TYPE, "evidence.0.sha256", "text of 2 bytes"),
        ({"source": {"credibility": 7}}, Kind.UNKNOWN_CODE, "source.credibility", "text of 1 bytes"),
    ],
)
def test_one_fault_gives_one_problem_and_keeps_the_draft(
    change: dict[str, Any], kind: Kind, field: str, got: str | None
) -> None:
    problem = only_problem(changed(**change))
    assert (problem.kind, problem.field) == (kind, field)
    assert problem.expected
    assert got is None or problem.got == got


@pytest.mark.parametrize(
    "name", ["title", "threats", "phase", "severity", "urgency", "certainty", "target_unit", "place"]
)
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    document = {key: value for key, value in FULL.items() if key != name}
    problem = only_problem(document)
    assert (problem.kind, problem.field, problem.got) == (Kind.WRONG_TYPE, name, "nothing")


def test_a_case_without_consent_says_so() -> None:
    document = {key: value for key, value in FULL.items() if key != "consent"}
    assert (only_problem(document).kind, only_problem(document).field) == (Kind.CONSENT_MISSING, "consent")


def test_several_faults_are_told_together() -> None:
    reading = read(changed(colour=1, severity="Bad", place={"country": "ZZ"}))
    assert {problem.field for problem in reading.problems} == {"colour", "severity", "place.country"}


@pytest.mark.parametrize("value", [[], "text", 7, None, True])
def test_what_is_not_an_object_is_refused(value: object) -> None:
    with pytest.raises(Problem) as caught:
        read(value)
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "[" * 100_000])
def test_text_that_is_not_one_json_object_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_document(text)
    assert caught.value.kind is Kind.MALFORMED


def test_an_endless_document_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        parse_document(b'{"narrative": "' + b"a" * 5_000_000 + b'"}')
    assert caught.value.kind is Kind.TOO_LONG


def test_texts_are_brought_to_nfc() -> None:
    case = read(changed(title="Jose\u0301")).case
    assert case is not None
    assert case.title == "José"


def test_a_prospective_event_may_lie_ahead() -> None:
    assert read(changed(phase="prospective", occurred_at="2027-01")).state == "ready"


def test_today_and_this_week_and_this_month_have_begun() -> None:
    for written in ("2026-11-22", "2026-W47", "2026-11", "2026-11-22T09:00+14:00"):
        assert read(changed(occurred_at=written)).state == "ready", written


def test_a_point_outside_its_place_is_a_warning_not_an_error() -> None:
    reading = read(changed(place=FULL["place"] | {"lat": -2.0}))
    assert reading.state == "ready"
    assert [warning["field"] for warning in reading.warnings] == ["place.country", "place.admin1"]


def test_a_shape_nobody_has_gives_no_warning() -> None:
    assert read(changed(place={"country": "KE", "admin1": "KE-30", "lat": 1.0, "lon": 36.8})).warnings == ()


def test_no_problem_tells_a_text_that_never_leaves() -> None:
    secret = "Persona-Ficticia-Canario"

    def broken(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: broken(item) for name, item in value.items()} | {"unknown": secret}
        if isinstance(value, list):
            return [broken(item) for item in value] + [[secret]]
        return {"wrong": secret}

    document = {name: broken(value) for name, value in FULL.items() if is_local(name)}
    told = json.dumps([problem.as_json() for problem in read(document).problems])
    assert len(told) > 1000
    assert secret not in told


def test_a_text_in_the_place_of_a_code_is_not_told_unless_it_looks_like_a_code() -> None:
    assert only_problem(changed(severity="Ana Ficticia")).got == "text of 12 bytes"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Case.model_fields)) | st.text(max_size=8), json_values, max_size=8))
def test_any_object_is_kept_with_its_problems(document: dict[str, Any]) -> None:
    reading = read(changed(**document))
    assert reading.state == "ready" or (reading.problems and reading.document == changed(**document))


def test_the_json_schema_is_valid_and_agrees_with_the_model() -> None:
    schema = json_schema_case()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(FULL)
    assert not validator.is_valid(changed(place={"country": "CO", "lat": 91, "lon": 0}))
    assert '"default": null' not in json.dumps(schema)
    for change in (
        {"colour": 1},
        {"severity": "Bad"},
        {"title": None},
        {"transnational": None},
        {"gendered_dimension": 1},
    ):
        assert not validator.is_valid(changed(**change)), change
    assert not validator.is_valid({key: value for key, value in FULL.items() if key != "consent"})


def test_every_local_text_is_known_to_the_gate_and_no_code() -> None:
    texts = dict(local_texts(FULL))
    assert texts == {
        "title": "Caso ficticio",
        "narrative": "Una historia inventada.",
        "case_number": "X-2026-77",
        "persons.name": "Persona Ficticia Uno",
        "persons.aliases": "Uno",
        "persons.phone": "+57 300 000 0001",
        "persons.handles": "@ficticia1",
        "organisations": "Organización Ficticia",
        "identifiers": "ABC-123",
        "source.name": "Fuente Ficticia",
        "evidence.label": "Foto",
        "evidence.where": "caja 3",
        "evidence.sha256": "ab" * 32,
        "perpetrator_detail": "Patrulla 9",
        "place.lat": "2.44",
        "place.lon": "-76.61",
        "place.locality": "Vereda Ficticia",
        "consent.informed": "Leído en voz alta",
    }


def test_texts_of_a_draft_in_fields_nobody_knows_count_as_secrets() -> None:
    draft = {"nombre": "Persona Ficticia", "place": {"country": "CO", "aldea": "Vereda"}, "channel": "Persona Dos"}
    draft |= {"identifiers": [300123456, None, True]}
    assert set(local_texts(draft)) == {
        ("nombre", "Persona Ficticia"),
        ("place.aldea", "Vereda"),
        ("channel", "Persona Dos"),
        ("identifiers", "300123456"),
    }
