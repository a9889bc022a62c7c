"""From a case to the view of one tier: a chain in which every wider view is computed from the narrower one (DESIGN §7).

Only `partner_view` receives the case. `network_view` and `international_view` receive a view and cannot know more; that
a wider tier never learns what a narrower one does not is thus a property of their signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from almenara.node.minimise import when
from almenara.node.minimise.notes import coarsened_fields, dropped_fields
from almenara.node.minimise.policy import INTERNATIONAL, NETWORK, NOTHING, PARTNER, Policy
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol import vocabulary
from almenara.protocol.alert import encode_view
from almenara.protocol.errors import Defect, LocalError
from almenara.protocol.limits import ALERT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almenara.node.cases.case import Case
    from almenara.node.minimise.place import Places

View = dict[str, Any]

ALWAYS = (  # slots that leave as they are, at every tier
    "phase",
    "severity",
    "urgency",
    "certainty",
    "verification",
    "permitted_actions",
    "target_unit",
)
FROZEN_PLACE = ("country", "area", "cell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimised:
    """What would leave: the view, its exact bytes, and what was done to the case on the way.

    `people_in_place` is how many people the shown place stands for, as far as is known. `frozen` is to be kept for the
    case and circle, and given back when the case is sent there again.
    """

    view: View
    body: bytes
    coarsened: list[dict[str, str]]
    dropped: list[dict[str, str]]
    people_in_place: int
    frozen: dict[str, str]


def minimise(
    case: Case,
    tier: int,
    *,
    policy: Policy,
    places: Places,
    status: str,
    frozen: Mapping[str, str] | None = None,
) -> Minimised:
    """Make the view of a tier (partner 1, network 2, international 3) and its body.

    Raises:
        Problem: TOO_LARGE, with the field, when the body does not fit an alert's envelope.

    """
    view = partner_view(case, policy=policy, places=places, status=status)
    if tier >= NETWORK:
        view = network_view(view, policy=policy, places=places)
    if tier >= INTERNATIONAL:
        view = international_view(view, policy=policy, places=places)
    if frozen:
        view = freeze(view, frozen)
    people = people_in(view, places)
    return Minimised(
        view=view,
        body=_body_of(view),
        coarsened=coarsened_fields(case, view, people),
        dropped=dropped_fields(case, view),
        people_in_place=people,
        frozen={name: view[name] for name in (*FROZEN_PLACE, "when") if name in view},
    )


def _body_of(view: View) -> bytes:
    try:
        return encode_view(view)
    except LocalError as error:
        kind = Kind.TOO_LARGE if error.kind is Defect.TOO_LARGE else Kind.INTERNAL
        raise Problem(
            kind,
            N_("What would leave does not fit an alert."),
            field=error.field,
            expected=error.expected,
            got=error.got,
            next=N_("Shorten this field."),
        ) from error


def partner_view(case: Case, *, policy: Policy, places: Places, status: str) -> View:
    """Make the narrowest view. Nothing in a field that never leaves has any influence on it."""

    def may(field: str) -> bool:
        step = policy.step(field, PARTNER)
        return step != NOTHING and (step != "chosen" or field == case.network_shows)

    view: View = {"schema": ALERT_SCHEMA, "vocab": vocabulary.VERSION, "tier": PARTNER, "status": status}
    view |= {"threats": list(case.threats), "perpetrator": case.perpetrator}
    view |= {name: getattr(case, name) for name in ALWAYS}
    view |= {name: getattr(case, name) for name in ("situation", "role", "issue", "reprisal") if may(name)}
    view |= {name: list(getattr(case, name)) for name in ("requests", "offers") if may(name)}
    view["network_shows"] = case.network_shows
    if may("gendered_dimension"):
        view["gendered"] = case.gendered_dimension
    if case.transnational and may("transnational"):
        view |= {"origin": case.transnational.origin, "host": case.transnational.host}
    if case.occurred_at and may("occurred_at"):
        view["when"] = when.coarsen(case.occurred_at, policy.step("occurred_at", PARTNER))
    view |= _place_of(case, policy=policy, places=places)
    return _coarser_codes(_known_only(_coarser_place(view, policy=policy, places=places)), policy)


def _place_of(case: Case, *, policy: Policy, places: Places) -> View:
    """Show the point as its cell and that cell's area; without these the area written in the case, and no cell."""
    country, written = case.place.country, case.place.admin1
    enough = policy.people[PARTNER]
    cell = places.cell_at(country, *case.place.point) if case.place.point else None
    if cell is not None and places.people_in_cell(country, cell) < enough:
        cell = None
    area = places.area_of_cell(country, cell) if cell else None
    if area is None and written and places.people_in_area(written) >= enough:
        return {"country": country, "area": written}
    if area is not None and places.people_in_area(area) < enough:
        area = None
    return {"country": country, "area": area or "", "cell": cell or ""}


def network_view(view: View, *, policy: Policy, places: Places) -> View:
    """Make the network's view from a partner's."""
    chosen = view["network_shows"]
    shown = {name: value for name, value in view.items() if name not in {"role", "issue", "network_shows"}}
    if chosen in view and policy.step(chosen, NETWORK) != NOTHING:
        shown[chosen] = view[chosen]
    shown["tier"] = NETWORK
    return _wider(shown, policy=policy, places=places)


def international_view(view: View, *, policy: Policy, places: Places) -> View:
    """Make the view of international bodies from the network's."""
    shown = {name: value for name, value in view.items() if name not in {"role", "issue"}}
    return _wider(shown | {"tier": INTERNATIONAL}, policy=policy, places=places)


_SLOTS_OF = {  # the slots of fields that go as a whole or not at all
    "situation": ("situation",),
    "transnational": ("origin", "host"),
    "reprisal": ("reprisal",),
    "gendered_dimension": ("gendered",),
    "requests": ("requests",),
    "offers": ("offers",),
    "occurred_at": ("when",),
}


def _wider(view: View, *, policy: Policy, places: Places) -> View:
    """Apply the steps of the view's tier to what the narrower tier saw."""
    tier = view["tier"]
    for field, slots in _SLOTS_OF.items():
        if policy.step(field, tier) == NOTHING:
            view = {name: value for name, value in view.items() if name not in slots}
    if "when" in view:
        view = view | {"when": when.coarsen(view["when"], policy.step("occurred_at", tier))}
    return _coarser_codes(_coarser_place(view, policy=policy, places=places), policy)


def _coarser_codes(view: View, policy: Policy) -> View:
    tier = view["tier"]
    if policy.step("threats", tier) == "domain":
        view = view | {"threats": list(dict.fromkeys(map(vocabulary.threat_domain, view["threats"])))}
    if policy.step("perpetrator", tier) == "class":
        view = view | {"perpetrator": vocabulary.perpetrator_class(view["perpetrator"])}
    return view


def _coarser_place(view: View, *, policy: Policy, places: Places) -> View:
    """Show a place no finer than the tier's step, and no smaller than its number of people."""
    tier, step = view["tier"], policy.step("place", view["tier"])
    view = dict(view)
    if step != "cell":
        view.pop("cell", None)
    if step not in {"cell", "area"} or ("area" in view and places.people_in_area(view["area"]) < policy.people[tier]):
        view.pop("area", None)
    few = tier == INTERNATIONAL and places.people_in_country(view["country"]) < policy.people[tier]
    if (step == "subregion" or few) and not view["country"].startswith("M49:"):
        view["country"] = places.subregion_of(view["country"])
    return view


def _known_only(view: View) -> View:
    """Leave out what is absent."""
    return {name: value for name, value in view.items() if value not in ("", [], False)}


def freeze(view: View, frozen: Mapping[str, str]) -> View:
    """Show place and time as they were shown before in this circle, or more coarsely; never finer, never elsewhere."""
    kept = {name: frozen[name] for name in FROZEN_PLACE if name in frozen and name in view}
    if view["country"].startswith("M49:"):
        kept["country"] = view["country"]
    shown = {name: value for name, value in view.items() if name not in {*FROZEN_PLACE, "when"}} | kept
    if "when" in view and "when" in frozen:
        shown["when"] = when.coarsen(frozen["when"], when.step_of(view["when"]))
    return shown


def people_in(view: View, places: Places) -> int:
    """Give how many people the finest place of a view stands for, as far as is known."""
    if "cell" in view:
        return places.people_in_cell(view["country"], view["cell"])
    return places.people_in_area(view["area"]) if "area" in view else places.people_in_country(view["country"])
