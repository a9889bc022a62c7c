"""The alert body: what is written is read, its length is exact, and no tier carries more than it may see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.protocol import codec
from almenara.protocol.alert import SLOTS, encode_view, json_schema_alert, parse_view
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError
from almenara.protocol.limits import MAX_ALERT_BODY

PARTNER: dict[str, Any] = {
    "schema": 1,
    "vocab": 1,
    "tier": 1,
    "status": "Actual",
    "threats": ["legal.raid-search", "intimidation.threat"],
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "single-source",
    "permitted_actions": "contact-for-instruction",
    "perpetrator": "state.police",
    "target_unit": "individual",
    "situation": "at-home",
    "role": "lawyer",
    "issue": "labour",
    "network_shows": "issue",
    "country": "CO",
    "area": "CO-CAU",
    "cell": "8666de08fffffff",
    "when": "2026-11-20",
    "origin": "KE",
    "host": "CO",
    "reprisal": "un",
    "gendered": True,
    "requests": ["legal.aid"],
    "offers": ["monitor.watch"],
}
NETWORK = {k: v for k, v in PARTNER.items() if k not in {"role", "network_shows", "cell"}} | {
    "tier": 2,
    "when": "2026-W47",
}
INTERNATIONAL = {
    k: v for k, v in NETWORK.items() if k not in {"situation", "issue", "area", "reprisal", "gendered"}
} | {"tier": 3, "threats": ["legal", "intimidation"], "perpetrator": "state", "when": "2026-11"}


def values(view: dict[str, Any]) -> list[Any]:
    return codec.decode(encode_view(view))


@pytest.mark.parametrize("view", [PARTNER, NETWORK, INTERNATIONAL])
def test_a_view_comes_back_as_it_was_written(view: dict[str, Any]) -> None:
    assert parse_view(encode_view(view)) == view


def test_slots_stand_at_the_numbers_of_the_schema() -> None:
    numbers = {0: "schema", 4: "threats", 11: "perpetrator", 16: "network_shows", 17: "country", 20: "when", 28: "text"}
    assert {number: SLOTS[number] for number in numbers} == numbers
    assert len(SLOTS) == 29


def test_absent_slots_are_left_out_of_the_view() -> None:
    view = {k: v for k, v in PARTNER.items() if k not in {"situation", "origin", "host", "gendered", "requests"}}
    assert parse_view(encode_view(view)) == view
    assert parse_view(encode_view(view | {"gendered": False})) == view


def test_codes_of_a_later_vocabulary_are_kept_as_they_came() -> None:
    view = PARTNER | {"vocab": 9, "threats": ["weather.of-2031"], "severity": "Unheard", "role": "x.y-z"}
    assert parse_view(encode_view(view)) == view


@pytest.mark.parametrize("change", [0, 1, 28])
def test_the_length_is_exact(change: int) -> None:
    short = values(PARTNER)[:-1] if change == 0 else values(PARTNER) + [""] * change
    with pytest.raises(RemoteError) as caught:
        parse_view(codec.encode(short))
    assert caught.value.kind is Defect.WRONG_COUNT


def test_a_higher_schema_number_is_a_newer_version_whatever_follows() -> None:
    with pytest.raises(NewerVersion):
        parse_view(codec.encode([2, "anything", [1, 2], b"x"]))


def test_schema_zero_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        parse_view(codec.encode([0, *values(PARTNER)[1:]]))
    assert caught.value.kind is Defect.UNKNOWN_VERSION
    assert not isinstance(caught.value, NewerVersion)


@pytest.mark.parametrize(
    ("slot", "value", "kind"),
    [
        ("vocab", 0, Defect.OUT_OF_RANGE),
        ("vocab", "1", Defect.WRONG_TYPE),
        ("tier", 4, Defect.OUT_OF_RANGE),
        ("tier", 0, Defect.OUT_OF_RANGE),
        ("status", "", Defect.BAD_FORM),
        ("threats", [], Defect.WRONG_COUNT),
        ("threats", ["legal.charges"] * 7, Defect.WRONG_COUNT),
        ("threats", ["a code"], Defect.BAD_FORM),
        ("severity", "x" * 65, Defect.WRONG_LENGTH),
        ("severity", 3, Defect.WRONG_TYPE),
        ("country", "", Defect.BAD_FORM),
        ("country", "co", Defect.BAD_FORM),
        ("country", "M49:54", Defect.BAD_FORM),
        ("area", "KE-30", Defect.BAD_FORM),
        ("area", "CO-", Defect.BAD_FORM),
        ("cell", "8766de08fffffff", Defect.BAD_FORM),
        ("cell", "8666DE08FFFFFFF", Defect.BAD_FORM),
        ("when", "2026-11-31", Defect.BAD_FORM),
        ("when", "2025-W53", Defect.BAD_FORM),
        ("when", "2026-11-20T14:37+03:00", Defect.BAD_FORM),
        ("origin", "KEN", Defect.WRONG_LENGTH),
        ("gendered", 2, Defect.OUT_OF_RANGE),
        ("requests", ["legal.aid"] * 9, Defect.WRONG_COUNT),
        ("language", "english!", Defect.BAD_FORM),
        ("text", "a" * 1201, Defect.WRONG_LENGTH),
        ("text", "bell\x07", Defect.CONTROL_CHARACTER),
        ("text", "Jose\u0301", Defect.NOT_NFC),
    ],
)
def test_a_slot_that_breaks_its_rule_is_refused_by_name_on_both_sides(slot: str, value: object, kind: Defect) -> None:
    listed = values(PARTNER)
    listed[SLOTS.index(slot)] = value
    with pytest.raises(RemoteError) as caught:
        parse_view(codec.encode(listed))
    assert (caught.value.kind, caught.value.field) == (kind, slot)
    if slot != "gendered":
        with pytest.raises(LocalError) as ours:
            encode_view(PARTNER | {slot: value})
        assert ours.value.kind is kind


@pytest.mark.parametrize(
    ("view", "slot", "value"),
    [
        (NETWORK, "cell", "8666de08fffffff"),
        (NETWORK, "when", "2026-11-20"),
        (NETWORK, "role", "lawyer"),
        (NETWORK, "network_shows", "issue"),
        (NETWORK, "text", "words"),
        (INTERNATIONAL, "area", "CO-CAU"),
        (INTERNATIONAL, "when", "2026-W47"),
        (INTERNATIONAL, "situation", "exile"),
        (INTERNATIONAL, "issue", "labour"),
        (INTERNATIONAL, "reprisal", "un"),
        (INTERNATIONAL, "gendered", 1),
        (INTERNATIONAL, "threats", ["legal.raid-search"]),
        (INTERNATIONAL, "perpetrator", "state.police"),
    ],
)
def test_more_than_its_tier_may_see_is_refused_on_both_sides(view: dict[str, Any], slot: str, value: object) -> None:
    with pytest.raises(LocalError) as ours:
        encode_view(view | {slot: value})
    assert (ours.value.kind, ours.value.field) == (Defect.TOO_FINE, slot)
    listed = values(view)
    listed[SLOTS.index(slot)] = value
    with pytest.raises(RemoteError) as theirs:
        parse_view(codec.encode(listed))
    assert (theirs.value.kind, theirs.value.field) == (Defect.TOO_FINE, slot)


def test_a_time_given_more_coarsely_than_its_tier_passes() -> None:
    for view in (PARTNER, NETWORK):
        assert parse_view(encode_view(view | {"when": "2026-11"}))["when"] == "2026-11"


def test_a_body_that_would_not_fit_is_refused_with_its_largest_slot() -> None:
    long = "x." + "y" * 62
    heavy = dict.fromkeys(("phase", "severity", "urgency", "certainty", "verification", "situation", "role"), long)
    view = PARTNER | heavy | {"threats": [long] * 6, "requests": [long] * 8, "offers": [long] * 8, "text": "é" * 600}
    view |= dict.fromkeys(("permitted_actions", "perpetrator", "target_unit", "issue", "status", "reprisal"), long)
    with pytest.raises(LocalError) as caught:
        encode_view(view | {"network_shows": long, "language": "en"})
    assert (caught.value.kind, caught.value.field) == (Defect.TOO_LARGE, "text")


def test_a_body_over_the_limit_is_refused_before_decoding() -> None:
    with pytest.raises(RemoteError) as caught:
        parse_view(bytes(MAX_ALERT_BODY + 1))
    assert caught.value.kind is Defect.TOO_LONG


def test_a_slot_nobody_knows_is_refused() -> None:
    with pytest.raises(LocalError):
        encode_view(PARTNER | {"name": "Persona Ficticia"})


@given(st.binary(max_size=200))
def test_junk_never_raises_anything_but_a_remote_error(junk: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_view(junk)


ALERT: dict[str, Any] = {
    "alert_id": "0b1f5e0e-7d4b-4c6e-9a94-7bfb0a1c2d3e",
    "circle_id": "6f1f9a3e-0c7a-4b5d-9f57-0d6f0a6b1c2d",
    "circle": "c-andes",
    "author": {"node_id": "a" * 56, "name": "alpha", "verified": True},
    "type": "Alert",
    "state": "current",
    "revision": 1,
    "tlp": "TLP:AMBER+STRICT",
    "created_at": "2026-11-20T14:37:00.000Z",
    "received_at": "2026-11-20T14:37:00.000Z",
    "expires_at": "2027-02-18T14:37:00.000Z",
    "view": PARTNER,
}


@pytest.mark.parametrize("view", [PARTNER, NETWORK, INTERNATIONAL, {"schema": 2}])
def test_the_json_schema_takes_alerts_of_every_tier_and_newer_ones(view: dict[str, Any]) -> None:
    schema = json_schema_alert()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(ALERT | {"view": view})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x"},
        {"view": PARTNER | {"persons": []}},
        {"view": PARTNER | {"gendered": None}},
        {"view": {k: v for k, v in PARTNER.items() if k != "country"}},
        {"tlp": "AMBER"},
        {"author": {"node_id": "a" * 56, "name": "alpha"}},
    ],
)
def test_the_json_schema_refuses_what_is_no_alert(change: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(json_schema_alert()).is_valid(ALERT | change)


def test_the_json_schema_names_every_slot() -> None:
    view = json_schema_alert()["properties"]["view"]["oneOf"][0]
    assert tuple(view["properties"]) == SLOTS


def test_the_specification_has_each_slot_at_its_number() -> None:
    spec = (Path(__file__).parent.parent.parent / "protocol" / "SPEC.md").read_text(encoding="utf-8")
    section = spec.split("## 12 ", 1)[1]
    assert re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE) == [
        (str(number), name) for number, name in enumerate(SLOTS)
    ]
    assert f"{MAX_ALERT_BODY:,} bytes" in section
