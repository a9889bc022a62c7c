"""The policy: an allow-list that can only narrow, held to floors that stand in the program."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from almenara.node.minimise.policy import (
    LADDERS,
    NOTHING,
    TIERS,
    default_policy,
    load_policy,
    parse_policy,
    shipped_text,
)
from almenara.node.minimise.view import minimise
from almenara.node.problem import Kind, Problem
from tests.node.minimise.conftest import PLACES, case_of, document

if TYPE_CHECKING:
    from pathlib import Path


def changed(field: str, line: str) -> str:
    """Replace the line of a field in the shipped policy."""
    lines = [line if one.startswith(f"{field} = ") else one for one in shipped_text().splitlines()]
    return "\n".join(lines)


def steps(partner: str, network: str, international: str) -> str:
    return f'{{ partner = "{partner}", network = "{network}", international = "{international}" }}'


def test_the_shipped_policy_is_the_table_of_the_design() -> None:
    policy = default_policy()
    assert policy.version == 1
    for field, ladder in LADDERS.items():
        assert tuple(policy.step(field, tier) for tier in TIERS.values()) == ladder.finest, field
    assert dict(policy.people) == {1: 10_000, 2: 100_000, 3: 100_000}


def test_a_field_the_policy_does_not_name_has_no_step() -> None:
    assert default_policy().step("narrative", 1) == NOTHING


@pytest.mark.parametrize(
    ("field", "line", "where"),
    [
        ("threats", "threats = " + steps("code", "code", "code"), "policy.field.threats.international"),
        ("place", "place = " + steps("cell", "cell", "country"), "policy.field.place.network"),
        ("place", "place = " + steps("cell", "area", "area"), "policy.field.place.international"),
        ("place", "place = " + steps("point", "area", "country"), "policy.field.place.partner"),
        ("occurred_at", "occurred_at = " + steps("day", "day", "month"), "policy.field.occurred_at.network"),
        ("occurred_at", "occurred_at = " + steps("minute", "week", "month"), "policy.field.occurred_at.partner"),
        ("role", "role = " + steps("as-is", "as-is", "-"), "policy.field.role.network"),
        ("situation", "situation = " + steps("as-is", "as-is", "as-is"), "policy.field.situation.international"),
        ("severity", "severity = " + steps("as-is", "-", "-"), "policy.field.severity.network"),
        ("severity", "", "policy.field.severity"),
        ("requests", "requests = " + steps("-", "as-is", "as-is"), "policy.field.requests.network"),
        ("requests", 'requests = "as-is"', "policy.field.requests"),
        ("partner", "partner = 9_999", "policy.people.partner"),
        ("network", "network = 10_000", "policy.people.network"),
        ("network", "network = true", "policy.people.network"),
        ("version", 'version = "1"', "policy.version"),
    ],
)
def test_what_is_wider_than_a_floor_or_incomplete_is_refused_with_its_place(field: str, line: str, where: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_policy(changed(field, line))
    assert (caught.value.kind, caught.value.field) == (Kind.MALFORMED, where)


@pytest.mark.parametrize(
    ("addition", "where"),
    [
        ("narrative = " + steps("as-is", "-", "-"), "policy.field.narrative"),
        ("persons = " + steps("as-is", "-", "-"), "policy.field.persons"),
    ],
)
def test_a_field_that_never_leaves_cannot_be_named(addition: str, where: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_policy(f"{shipped_text()}\n{addition}\n")
    assert (caught.value.kind, caught.value.field) == (Kind.UNKNOWN_FIELD, where)


def test_junk_is_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    for junk in (b"\xff\xfe", b"version = ", b"field = 3\nversion = 1"):
        path.write_bytes(junk)
        with pytest.raises(Problem):
            load_policy(path)


def test_a_stricter_policy_is_obeyed_and_stays_a_chain() -> None:
    text = changed("place", "place = " + steps("country", "country", "subregion"))
    for field, line in (
        ("situation", ""),
        ("role", "role = " + steps("-", "-", "-")),
        ("occurred_at", "occurred_at = " + steps("week", "month", "-")),
        ("threats", "threats = " + steps("domain", "domain", "domain")),
        ("perpetrator", "perpetrator = " + steps("class", "class", "class")),
        ("transnational", ""),
        ("offers", ""),
        ("gendered_dimension", ""),
    ):
        text = "\n".join(line if one.startswith(f"{field} = ") else one for one in text.splitlines())
    policy = parse_policy(text)
    rnd = random.Random(23)
    for _ in range(40):
        case = case_of(document(rnd))
        views = [minimise(case, t, policy=policy, places=PLACES, status="Test").view for t in (1, 2, 3)]
        gone = {"cell", "area", "situation", "role", "origin", "host", "offers", "gendered"}
        assert all(not gone & set(view) for view in views)
        assert "-W" in views[0]["when"]
        assert "W" not in views[1]["when"]
        assert "when" not in views[2]
        assert not any("." in threat for threat in views[0]["threats"])
        assert views[0]["perpetrator"] in {"state", "non-state", "unknown"}
        assert views[2]["country"].startswith("M49:")


def test_a_role_hidden_by_policy_does_not_bring_out_the_issue_the_author_did_not_choose() -> None:
    policy = parse_policy(changed("role", "role = " + steps("-", "-", "-")))
    case = case_of(document(random.Random(29)) | {"network_shows": "role", "role": "lawyer", "issue": "labour"})
    assert not {"role", "issue"} & set(minimise(case, 2, policy=policy, places=PLACES, status="Test").view)


def test_more_people_than_a_place_has_hide_it() -> None:
    policy = parse_policy(changed("partner", "partner = 50_000_000"))
    case = case_of(document(random.Random(31)))
    assert not {"cell", "area"} & set(minimise(case, 1, policy=policy, places=PLACES, status="Test").view)


def test_a_policy_that_lets_even_a_partner_see_only_the_chosen_one_is_obeyed() -> None:
    text = shipped_text()
    for field in ("role", "issue"):
        line = f"{field} = " + steps("chosen", "chosen", "-")
        text = "\n".join(line if one.startswith(f"{field} = ") else one for one in text.splitlines())
    case = case_of(document(random.Random(37)) | {"network_shows": "role", "role": "lawyer", "issue": "labour"})
    view = minimise(case, 1, policy=parse_policy(text), places=PLACES, status="Test").view
    assert (view["role"], view.get("issue")) == ("lawyer", None)
