"""What must hold of every case: no wider view knows more, nothing local has influence, and seeded leaks are caught.

Two cases drawn apart never look the same to a narrow tier, so a test of "same narrow view, same wide view" on them
would prove nothing. Twins (a case and a slightly moved copy with other secrets) make the premise true often; how often
is printed and must not be nought. The mutants are leaks put in on purpose: the properties must catch each.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest

from almenara.node.cases.case import Case
from almenara.node.minimise import view as views
from almenara.node.minimise.policy import INTERNATIONAL, NETWORK, PARTNER
from almenara.node.minimise.view import Minimised, international_view, minimise, network_view, partner_view
from almenara.protocol.alert import check_tier, parse_view
from tests.node.minimise.conftest import PLACES, POLICY, case_of, document, secrets_changed, twin

PAIRS = 240
TIERS = (PARTNER, NETWORK, INTERNATIONAL)
Make = Callable[[Case, int], dict[str, Any]]


def shown(case: Case, tier: int) -> Minimised:
    return minimise(case, tier, policy=POLICY, places=PLACES, status="Test")


def make_view(case: Case, tier: int) -> dict[str, Any]:
    return shown(case, tier).view


def broken_properties(make: Make, pairs: int) -> tuple[set[str], int]:
    """Give the properties that fail for a way of making views, and how often the monotone premise was true."""
    rnd, broken, premise = random.Random(7), set(), 0
    for _ in range(pairs):
        one = document(rnd)
        two = twin(one, rnd)
        first, second = ([make(case_of(each), tier) for tier in TIERS] for each in (one, two))
        for narrow, wide in ((0, 1), (1, 2)):
            if first[narrow] == second[narrow]:
                premise += 1
                if first[wide] != second[wide]:
                    broken.add("monotone")
            if not set(first[wide]) <= set(first[narrow]):
                broken.add("fields grow")
        other = case_of(secrets_changed(one, rnd))
        if any(make(other, tier) != view for tier, view in zip(TIERS, first, strict=True)):
            broken.add("secrets have influence")
        for view in first:
            try:
                check_tier(view)
            except Exception:  # noqa: BLE001 - any refusal counts
                broken.add("tier")
    return broken, premise


def test_the_minimiser_keeps_every_property_and_the_premise_is_true_often() -> None:
    broken, premise = broken_properties(make_view, PAIRS)
    print(f"the same narrow view: {premise} of {2 * PAIRS} comparisons")
    assert broken == set()
    assert premise > PAIRS // 2


def leak_name_length(view: dict[str, Any], case: Case) -> None:
    view["offers"] = ["monitor.watch"] * (len(case.title) // 10 % 3)


def leak_name_hash(view: dict[str, Any], case: Case) -> None:
    view["reprisal"] = f"x{sum(case.title.encode()) % 97}"


def leak_name(view: dict[str, Any], case: Case) -> None:
    if view["tier"] == PARTNER:
        view["text"] = case.title


def leak_day(view: dict[str, Any], case: Case) -> None:
    if view["tier"] == INTERNATIONAL:
        view["when"] = case.occurred_at[:10]


def leak_month_of_day(view: dict[str, Any], case: Case) -> None:
    if view["tier"] == INTERNATIONAL:
        view["when"] = case.occurred_at[:7]


def leak_written_area(view: dict[str, Any], case: Case) -> None:
    if view["tier"] == NETWORK:
        view["area"] = f"{case.place.country}-{abs(case.place.lat) % 0.1 * 100:.0f}"


def leak_direct_cell(view: dict[str, Any], case: Case) -> None:
    import h3  # noqa: PLC0415 - only this mutant needs it

    if view["tier"] == NETWORK:
        view["cell"] = h3.latlng_to_cell(*case.place.point, 4)


def leak_role_and_issue(view: dict[str, Any], case: Case) -> None:
    if view["tier"] == NETWORK:
        view |= {"role": case.role, "issue": case.issue}


MUTANTS = [
    leak_name_length,
    leak_name_hash,
    leak_name,
    leak_day,
    leak_month_of_day,
    leak_written_area,
    leak_direct_cell,
    leak_role_and_issue,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_seeded_leak_is_caught(mutant: Callable[[dict[str, Any], Case], None]) -> None:
    def make(case: Case, tier: int) -> dict[str, Any]:
        view = dict(make_view(case, tier))
        mutant(view, case)
        return view

    assert broken_properties(make, PAIRS // 4)[0]


def test_wider_views_cannot_receive_the_case() -> None:
    for function in (network_view, international_view):
        parameters = inspect.signature(function).parameters
        assert list(parameters) == ["view", "policy", "places"]
        assert "case" not in inspect.getsource(function)
    assert "case" in inspect.signature(partner_view).parameters
    takers = [
        name for name, f in inspect.getmembers(views, inspect.isfunction) if "case" in inspect.signature(f).parameters
    ]
    assert sorted(set(takers)) == ["_place_of", "coarsened_fields", "dropped_fields", "minimise", "partner_view"]


def test_nothing_local_influences_body_or_frozen_place() -> None:
    rnd = random.Random(11)
    for _ in range(PAIRS // 3):
        one = document(rnd)
        other = secrets_changed(one, rnd)
        for tier in TIERS:
            left, right = shown(case_of(one), tier), shown(case_of(other), tier)
            assert (left.body, left.frozen, left.people_in_place) == (right.body, right.frozen, right.people_in_place)


def test_every_body_reads_back_as_its_view() -> None:
    rnd = random.Random(13)
    for _ in range(PAIRS // 3):
        case = case_of(document(rnd))
        for tier in TIERS:
            result = shown(case, tier)
            assert parse_view(result.body) == result.view


def test_minimising_is_deterministic() -> None:
    case = case_of(document(random.Random(17)))
    assert shown(case, NETWORK) == shown(case, NETWORK)


def test_notes_name_fields_and_never_values() -> None:
    rnd = random.Random(19)
    for _ in range(50):
        written = secrets_changed(document(rnd), rnd)
        for tier in TIERS:
            notes = repr((shown(case_of(written), tier).coarsened, shown(case_of(written), tier).dropped))
            assert not any(secret in notes for secret in ("Persona", "Ficticia", "ficticia", "vereda", "Patrulla"))
