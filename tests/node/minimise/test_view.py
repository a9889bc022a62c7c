"""The view of each tier, slot by slot of SCHEMAS §3; what is frozen; what a person is told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.minimise import notes
from almenara.node.minimise.view import Minimised, minimise
from almenara.node.problem import Kind, Problem
from almenara.protocol import alert
from tests.node.minimise.conftest import PLACES, POLICY, case_of, document

if TYPE_CHECKING:
    from almenara.node.minimise.place import Places
    from almenara.node.minimise.policy import Policy

WRITTEN = document(random.Random(1)) | {
    "threats": ["legal.raid-search", "digital.spyware", "legal.charges"],
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "single-source",
    "permitted_actions": "none",
    "perpetrator": "proxy.paramilitary",
    "target_unit": "individual",
    "role": "lawyer",
    "issue": "labour",
    "network_shows": "role",
    "situation": "exile",
    "transnational": {"origin": "TV", "host": "CO"},
    "reprisal": "un",
    "gendered_dimension": True,
    "requests": ["legal.aid"],
    "offers": ["monitor.watch"],
    "place": {"country": "CO", "admin1": "CO-CAU", "lat": 2.44, "lon": -76.61, "locality": "Vereda"},
    "occurred_at": "2026-07-01T23:30-05:00",
}


def made(tier: int, frozen: dict[str, str] | None = None, **change: Any) -> Minimised:
    case = case_of(WRITTEN | change)
    return minimise(case, tier, policy=POLICY, places=PLACES, status="Actual", frozen=frozen)


SAME = {
    "schema": 1,
    "vocab": 1,
    "status": "Actual",
    "phase": "occurred",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "single-source",
    "permitted_actions": "none",
    "target_unit": "individual",
    "country": "CO",
    "origin": "TV",
    "host": "CO",
    "requests": ["legal.aid"],
    "offers": ["monitor.watch"],
}
NARROW = {
    "threats": WRITTEN["threats"],
    "perpetrator": "proxy.paramilitary",
    "situation": "exile",
    "reprisal": "un",
    "gendered": True,
    "area": "CO-CAU",
}


def test_a_partner_sees_codes_cell_and_day() -> None:
    view = made(1).view
    assert view == SAME | NARROW | {
        "tier": 1,
        "role": "lawyer",
        "issue": "labour",
        "network_shows": "role",
        "cell": view["cell"],
        "when": "2026-07-01",
    }


def test_the_network_sees_area_week_and_one_of_role_and_issue() -> None:
    assert made(2).view == SAME | NARROW | {"tier": 2, "role": "lawyer", "when": "2026-W27"}
    assert made(2, network_shows="issue").view == SAME | NARROW | {"tier": 2, "issue": "labour", "when": "2026-W27"}


def test_international_bodies_see_domains_class_country_and_month() -> None:
    assert made(3).view == SAME | {
        "tier": 3,
        "threats": ["legal", "digital"],
        "perpetrator": "state",
        "when": "2026-07",
    }


def test_what_is_absent_stays_absent() -> None:
    bare = {
        k: WRITTEN[k]
        for k in ("title", "threats", "phase", "severity", "urgency", "certainty", "target_unit", "consent")
    }
    case = case_of(bare | {"place": {"country": "CO"}})
    view = minimise(case, 1, policy=POLICY, places=PLACES, status="Test").view
    assert not {"situation", "origin", "host", "when", "cell", "area", "gendered", "requests", "offers"} & set(view)
    assert (view["role"], view["issue"], view["reprisal"], view["verification"]) == (
        "withheld",
        "withheld",
        "none",
        "unverified",
    )


def test_a_coarser_time_stays_as_coarse_at_every_tier() -> None:
    assert [made(tier, occurred_at="2026-07").view["when"] for tier in (1, 2, 3)] == ["2026-07"] * 3
    assert [made(tier, occurred_at="2026-W27").view["when"] for tier in (1, 2, 3)] == [
        "2026-W27",
        "2026-W27",
        "2026-07",
    ]


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_a_frozen_place_and_time_never_get_finer_and_never_move(tier: int) -> None:
    first = made(tier, place={"country": "CO"}, occurred_at="2026-06")
    assert first.frozen == {"country": "CO", "when": "2026-06"}
    again = made(tier, frozen=first.frozen)
    assert {k: again.view.get(k) for k in ("country", "area", "cell", "when")} == {
        "country": "CO",
        "area": None,
        "cell": None,
        "when": "2026-06",
    }
    assert again.frozen == first.frozen


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_a_moved_case_is_shown_where_it_was_shown_before(tier: int) -> None:
    first = made(tier)
    moved = made(
        tier, frozen=first.frozen, place={"country": "CO", "lat": 6.25, "lon": -75.57}, occurred_at="2026-09-01"
    )
    assert moved.view == first.view


def test_a_case_that_became_coarser_is_shown_more_coarsely_from_then_on() -> None:
    first = made(1)
    coarser = made(1, frozen=first.frozen, place={"country": "CO", "admin1": "CO-CAU"}, occurred_at="2026-07")
    assert (coarser.view.get("cell"), coarser.view["area"], coarser.view["when"]) == (None, "CO-CAU", "2026-07")
    back = made(1, frozen=coarser.frozen)
    assert back.view == coarser.view


def test_a_time_learned_later_is_not_added() -> None:
    unknown = {k: v for k, v in WRITTEN.items() if k != "occurred_at"}
    first = minimise(case_of(unknown), 1, policy=POLICY, places=PLACES, status="Actual")
    assert "when" not in made(1, frozen=first.frozen).view


def test_a_person_is_told_what_is_coarser_and_what_stays() -> None:
    told = made(3)
    assert {(note["field"], note["to"]) for note in told.coarsened} == {
        ("threats", "domain"),
        ("perpetrator", "class"),
        ("place", "country"),
        ("occurred_at", "month"),
    }
    dropped = {note["field"]: note["why"] for note in told.dropped}
    assert {"title", "narrative", "case_number", "persons", "source", "place.locality", "consent"} <= set(dropped)
    assert {dropped[field] for field in ("title", "persons", "consent")} == {"never leaves"}
    assert {"role", "issue", "situation", "reprisal", "gendered_dimension"} <= set(dropped)
    assert not {"severity", "place", "requests", "transnational"} & set(dropped)


def test_people_in_place_is_told_for_what_is_shown(places: Places, policy: Policy) -> None:
    assert policy.people[1] <= made(1).people_in_place == places.people_in_cell("CO", made(1).view["cell"])
    assert made(2).people_in_place == places.people_in_area("CO-CAU")
    assert made(3).people_in_place == places.people_in_country("CO")
    island = made(3, place={"country": "TV"})
    assert island.view["country"] == "M49:061"
    assert island.people_in_place == places.people_in_country("M49:061") > 100_000


def test_nobody_is_told_of_more_people_than_there_are() -> None:
    """All of Nauru has fewer than 100,000, the Vatican fewer than 10,000; their names are shown all the same."""
    reasons = {
        (country, tier): next(note["why"] for note in made(tier, place=place).coarsened if note["field"] == "place")
        for country, place in (
            ("NR", {"country": "NR", "lat": -0.52, "lon": 166.93}),
            ("VA", {"country": "VA", "lat": 41.9, "lon": 12.45}),
        )
        for tier in (1, 2, 3)
    }
    assert reasons == {
        ("NR", 1): notes.PEOPLE_10K,
        ("NR", 2): notes.UNDER_100K,
        ("NR", 3): notes.PEOPLE_100K,
        ("VA", 1): notes.UNDER_10K,
        ("VA", 2): notes.UNDER_100K,
        ("VA", 3): notes.PEOPLE_100K,
    }


def test_a_body_that_does_not_fit_is_refused_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert, "MAX_ALERT_BODY", 300)
    with pytest.raises(Problem) as caught:
        made(1, threats=["digital.encryption-restriction"] * 6)
    assert (caught.value.kind, caught.value.field) == (Kind.TOO_LARGE, "threats")


def test_every_body_of_the_longest_case_fits_an_alert() -> None:
    long = {"requests": ["diplomatic.trial-observation"] * 8, "offers": ["mechanism.coe-commissioner"] * 8}
    body = made(1, threats=["digital.encryption-restriction"] * 6, **long).body
    assert len(body) < alert.MAX_ALERT_BODY // 2
