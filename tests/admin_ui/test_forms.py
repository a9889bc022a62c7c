"""The case form holds every field, loses nothing, and reads whatever is stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict, MultiDictProxy

from almenara.admin_ui.areas import area_code
from almenara.admin_ui.case_form import FIELDS, GROUPS, Items
from almenara.admin_ui.facts import alert_facts, case_sections, consent_words
from almenara.admin_ui.forms import Written, kept_unknown, read_document
from almenara.admin_ui.reader import Reader
from almenara.node.cases.case import Case, json_schema_case

WHOLE: dict[str, Any] = {
    "title": "Threats against a family",
    "narrative": "Two men came.\nThey came back.",
    "persons": [
        {"name": "María", "aliases": ["Mari", "M."], "relation": "affected", "identity_factors": ["indigenous"]},
        {"name": "Pedro"},
    ],
    "organisations": ["Asociación A", "B"],
    "source": {"name": "neighbour", "reliability": "B", "credibility": "2"},
    "evidence": [{"label": "letter", "where": "safe"}],
    "threats": ["intimidation.death-threat", "legal.charges"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "target_unit": "family",
    "role": "lawyer",
    "network_shows": "role",
    "transnational": {"origin": "CO", "host": "ES"},
    "gendered_dimension": True,
    "requests": ["relocation.safe-house", "legal.aid"],
    "place": {"country": "CO", "admin1": "CO-CAU", "lat": 2.4419, "lon": -76.6063, "locality": "La Esperanza"},
    "occurred_at": "2026-11-20T14:37-05:00",
    "consent": {
        "state": "share-network",
        "basis": "self",
        "recorded_on": "2026-11-20",
        "audience": ["0b5e6f5e-3b1c-4a53-9f3e-2f6e3d0c8a11"],
    },
}


def posted(document: dict[str, Any]) -> MultiDictProxy[str]:
    """What a browser sends back for a form that shows `document`."""
    written, form = Written(document), MultiDict[str]()
    for group in GROUPS:
        for part in group.fields:
            if isinstance(part, Items):
                for index in range(written.count(part.path)):
                    for field in part.fields:
                        _fill(form, written, field.kind, f"{part.path}.{index}.{field.path}", field.default)
            else:
                _fill(form, written, part.kind, part.path, part.default)
    return MultiDictProxy(form)


def _fill(form: MultiDict[str], written: Written, kind: str, path: str, default: str) -> None:
    match kind:
        case "codes" | "threats" | "audience":
            for value in written.many(path):
                form.add(path, value)
        case "lines":
            form.add(path, "\r\n".join(written.many(path)))
        case "flag":
            if written.flag(path):
                form.add(path, "true")
        case "when":
            for part, value in written.when(path).items():
                form.add(f"{path}.{part}", value)
        case "region":
            form.add(path, Reader("en").area(written.text(path)))
        case _:
            form.add(path, written.text(path, default))


def test_a_case_goes_through_the_form_unchanged() -> None:
    assert read_document(posted(WHOLE)) == WHOLE
    Case.model_validate(read_document(posted(WHOLE)))


@pytest.mark.parametrize("when", ["2026-11-20T14:37-05:00", "2026-11-20", "2026-W47", "2026-11"])
def test_every_precision_of_time_goes_through_the_form(when: str) -> None:
    assert read_document(posted({"occurred_at": when})) == {"occurred_at": when}


def test_every_field_of_the_schema_has_a_control() -> None:
    schema = json_schema_case()
    known = set()
    for name, value in schema["properties"].items():
        reference = _reference(value)
        inner = schema["$defs"][reference]["properties"] if reference else {"": None}
        known |= {f"{name}.{part}".rstrip(".") for part in inner}
    assert set(FIELDS) == known


def _reference(value: dict[str, Any]) -> str:
    for place in (value, value.get("items", {}), *value.get("allOf", []), *value.get("anyOf", [])):
        if "$ref" in place:
            return str(place["$ref"]).rsplit("/", maxsplit=1)[-1]
    return ""


def test_an_empty_form_is_an_empty_draft() -> None:
    assert read_document(posted({})) == {}


def test_fields_that_no_case_has_stay_until_their_removal_is_ticked() -> None:
    stored = {"title": "x", "colour": "red", "mood": 3}
    assert kept_unknown(stored, MultiDictProxy(MultiDict())) == {"colour": "red", "mood": 3}
    assert kept_unknown(stored, MultiDictProxy(MultiDict(drop="colour"))) == {"mood": 3}


@pytest.mark.parametrize(
    ("typed", "value"), [("2,5", 2.5), ("-76.6", -76.6), ("\u0662\u066b\u0665", 2.5), ("north", "north")]
)
def test_a_number_is_read_as_people_write_it_and_kept_when_it_is_none(typed: str, value: object) -> None:
    form = MultiDictProxy(MultiDict({"place.lat": typed}))
    assert read_document(form) == {"place": {"lat": value}}


@pytest.mark.parametrize(
    ("typed", "code"), [("Cauca", "CO-CAU"), ("cauca ", "CO-CAU"), ("co-cau", "CO-CAU"), ("CAU", "CO-CAU"), ("X", "X")]
)
def test_a_region_is_found_by_name_or_code(typed: str, code: str) -> None:
    assert area_code(typed, "CO") == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([part.path.split(".")[0] for group in GROUPS for part in group.fields])


@given(st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=8))
def test_any_stored_document_can_be_shown_and_edited(document: dict[str, Any]) -> None:
    """A draft holds whatever JSON somebody imported; the pages that show it never fail."""
    read_document(posted(document))
    case_sections(Reader("ar"), document)
    consent = document.get("consent")
    consent_words(Reader("fr"), consent if isinstance(consent, dict) else {})


@given(st.dictionaries(st.sampled_from(["country", "area", "cell", "when", "role", "text"]), st.text(max_size=30)))
def test_any_text_a_peer_sends_can_be_shown_and_never_becomes_markup(view: dict[str, Any]) -> None:
    for fact in alert_facts(Reader("es"), {"threats": list(view.values()), **view}):
        stripped = str(fact.value)
        for allowed in (
            '<span dir="auto">',
            "</span>",
            "<bdi>",
            "</bdi>",
            '<bdi dir="ltr" class="code">',
            "<br>",
            '<bdi dir="auto">',
        ):
            stripped = stripped.replace(allowed, "")
        assert "<" not in stripped
