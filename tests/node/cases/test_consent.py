"""Consent → audience, row by row of SCHEMAS §2."""

from __future__ import annotations

from datetime import date

import pytest

from almenara.crypto.identity import NodeId
from almenara.node.cases.case import Consent
from almenara.node.cases.consent import REACH, ends_ms, may_label, may_share
from almenara.node.problem import Kind
from almenara.protocol import vocabulary

TODAY = date(2026, 11, 22)
PEER = NodeId(bytes(32)).text
OTHER_PEER = NodeId(bytes([1] * 32)).text
CIRCLE = "6f1f9a3e-0c7a-4b5d-9f57-0d6f0a6b1c2d"
OTHER_CIRCLE = "7f1f9a3e-0c7a-4b5d-9f57-0d6f0a6b1c2d"
AUDIENCES = [
    ("direct", 1, "named"),
    ("direct", 1, "unnamed"),
    ("group", 1, "named"),
    ("group", 1, "unnamed"),
    ("group", 2, "named"),
    ("group", 2, "unnamed"),
    ("group", 3, "named"),
    ("group", 3, "unnamed"),
]
# Per state: may it go to ... direct named, direct, partner named, partner, network named, network, intl named, intl
ROWS = {
    "not-asked": "........",
    "pending": "........",
    "refused": "........",
    "local-only": "........",
    "withdrawn": "........",
    "expired": "........",
    "not-possible": "........",
    "share-named-peers": "x.......",
    "share-circle": "x.x.x.x.",
    "share-network": "xxxxxxx.",
    "share-subscribers": "xxxxxxxx",
    "publish": "xxxxxxxx",
}


def consent(state: str, **members: object) -> Consent:
    return Consent.model_validate({"state": state, "basis": "self", "audience": [PEER, CIRCLE], **members})


@pytest.mark.parametrize("state", ROWS)
@pytest.mark.parametrize(("column", "audience"), list(enumerate(AUDIENCES)))
def test_each_state_reaches_exactly_the_audience_of_its_row(
    state: str, column: int, audience: tuple[str, int, str]
) -> None:
    kind, tier, named = audience
    circle = CIRCLE if named == "named" and kind == "group" else OTHER_CIRCLE
    peers = [PEER] if named == "named" else [OTHER_PEER]
    problem = may_share(consent(state), kind, tier, circle, peers, TODAY)
    assert (problem is None) == (ROWS[state][column] == "x")
    if problem is not None:
        assert problem.kind is Kind.CONSENT_MISSING
        assert problem.field.startswith("consent.")


def test_the_table_has_every_state_of_the_vocabulary() -> None:
    assert set(REACH) == set(vocabulary.codes("consent_state")) == set(ROWS)


def test_a_state_outside_the_table_goes_to_nobody() -> None:
    odd = Consent.model_construct(state="share-everything", basis="self", audience=[], valid_until="")
    assert may_share(odd, "direct", 1, CIRCLE, [PEER], TODAY) is not None


def test_no_consent_record_goes_to_nobody() -> None:
    problem = may_share(None, "group", 2, CIRCLE, [PEER], TODAY)
    assert problem is not None
    assert (problem.kind, problem.field, problem.got) == (Kind.CONSENT_MISSING, "consent", "nothing")


def test_the_problem_reads_as_in_the_schema() -> None:
    problem = may_share(consent("not-asked"), "group", 2, CIRCLE, [PEER], TODAY)
    assert problem is not None
    assert problem.as_json() | {"title": "", "status": 0} == {
        "type": "urn:almenara:problem:consent-missing",
        "title": "",
        "status": 0,
        "field": "consent.state",
        "expected": "share-network, share-subscribers or publish",
        "got": "not-asked",
        "next": "Record consent on the case",
    }


@pytest.mark.parametrize(("until", "allowed"), [("2026-11-22", True), ("2026-11-21", False), ("2027-01-01", True)])
def test_a_consent_past_its_last_day_counts_as_expired(until: str, *, allowed: bool) -> None:
    problem = may_share(consent("publish", valid_until=until), "group", 2, CIRCLE, [PEER], TODAY)
    assert (problem is None) == allowed
    assert problem is None or problem.got == "expired"


@pytest.mark.parametrize(
    "state", ["share-named-peers", "share-circle", "share-network", "share-subscribers", "publish"]
)
def test_sharing_needs_to_know_who_consented(state: str) -> None:
    problem = may_share(consent(state, basis="self").model_copy(update={"basis": ""}), "group", 2, CIRCLE, [], TODAY)
    assert problem is not None
    assert problem.field == "consent.basis"


def test_a_direct_circle_without_its_peer_is_not_a_named_one() -> None:
    assert may_share(consent("share-named-peers"), "direct", 1, OTHER_CIRCLE, [], TODAY) is not None
    assert may_share(consent("share-named-peers"), "direct", 1, OTHER_CIRCLE, [PEER, OTHER_PEER], TODAY) is not None


@pytest.mark.parametrize("state", ROWS)
def test_only_publish_allows_tlp_clear(state: str) -> None:
    assert (may_label(consent(state), "TLP:CLEAR", TODAY) is None) == (state == "publish")
    assert may_label(consent(state), "TLP:RED", TODAY) is None


def test_an_expired_publish_does_not_allow_tlp_clear() -> None:
    assert may_label(consent("publish", valid_until="2026-01-01"), "TLP:CLEAR", TODAY) is not None


def test_a_consent_ends_with_its_last_day() -> None:
    assert ends_ms(consent("publish", valid_until="1970-01-01")) == 86_400_000
    assert ends_ms(consent("publish")) is None
    assert ends_ms(consent("publish", valid_until="9999-12-31")) is None
