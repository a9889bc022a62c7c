"""What a person is told before sending: which fields leave coarser than they were written, which stay, and why.

Fields are named, their values never (SCHEMAS §8, `alert preview`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.node.cases.case import is_local
from almenara.node.minimise.policy import INTERNATIONAL, PARTNER
from almenara.node.minimise.when import step_of
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almenara.node.cases.case import Case

NEVER_LEAVES = N_("never leaves")
NOT_THIS_FAR = N_("not shown to an audience this wide")
ONE_OF_TWO = N_("beyond a partner only role or issue is shown")
PEOPLE_10K = N_("so that at least 10,000 people live in the place that is shown")
PEOPLE_100K = N_("so that at least 100,000 people live in the place that is shown")
UNDER_10K = N_("nothing smaller may be shown; still, fewer than 10,000 people live in the place that is shown")
UNDER_100K = N_("nothing smaller may be shown; still, fewer than 100,000 people live in the place that is shown")
TIME_PARTNER = N_("partners see the day, never the hour")
TIME_NETWORK = N_("the network sees the week, never the day")
TIME_INTERNATIONAL = N_("international bodies see the month")
ONLY_DOMAIN = N_("international bodies see the kind of threat only")
ONLY_CLASS = N_("international bodies see state, non-state or unknown only")

_PEOPLE = {True: (10_000, PEOPLE_10K, UNDER_10K), False: (100_000, PEOPLE_100K, UNDER_100K)}  # by: a partner?
_TIME = {1: TIME_PARTNER, 2: TIME_NETWORK, 3: TIME_INTERNATIONAL}
_SLOT = {"gendered_dimension": "gendered", "transnational": "origin", "occurred_at": "when"}
_FALL_BACK = {"reprisal": "none", "role": "withheld", "issue": "withheld"}  # defaults: nothing is lost with them


def coarsened_fields(case: Case, view: dict[str, Any], people: int) -> list[dict[str, str]]:
    """Give {field, to, why} for every field that leaves, but coarser than it was written.

    `people` is how many live in the shown place, as far as is known: a small country is shown though they are few.
    """
    return [{"field": field, "to": to, "why": why} for field, to, why in _coarsened(case, view, people)]


def _coarsened(case: Case, view: dict[str, Any], people: int) -> Iterator[tuple[str, str, str]]:
    if view["threats"] != case.threats:
        yield "threats", "domain", ONLY_DOMAIN
    if view["perpetrator"] != case.perpetrator:
        yield "perpetrator", "class", ONLY_CLASS
    finest = _finest_place(view)
    if finest != _written_place(case):
        enough, reached, missed = _PEOPLE[view["tier"] == PARTNER]
        yield "place", finest, reached if people >= enough else missed
    if "when" in view and view["when"] != case.occurred_at:
        yield "occurred_at", step_of(view["when"]), _TIME[view["tier"]]


def _finest_place(view: dict[str, Any]) -> str:
    if "cell" in view:
        return "cell"
    return "area" if "area" in view else "subregion" if view["country"].startswith("M49:") else "country"


def _written_place(case: Case) -> str:
    if case.place.point or case.place.locality:
        return "point"
    return "area" if case.place.admin1 else "country"


def dropped_fields(case: Case, view: dict[str, Any]) -> list[dict[str, str]]:
    """Give {field, why} for every field that was written and stays here."""
    return [{"field": field, "why": why} for field, why in _dropped(case, view)]


def _dropped(case: Case, view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in case.document():
        if field in {"place", "consent", "tlp", "network_shows"}:
            continue
        if field != "transnational" and is_local(field):
            yield field, NEVER_LEAVES
        elif _SLOT.get(field, field) not in view and getattr(case, field) not in (_FALL_BACK.get(field), False, "", []):
            either = field in {"role", "issue"} and PARTNER < view["tier"] < INTERNATIONAL
            yield field, ONE_OF_TWO if either else NOT_THIS_FAR
    if case.place.locality:
        yield "place.locality", NEVER_LEAVES
    yield "consent", NEVER_LEAVES
