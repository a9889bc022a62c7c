"""Places: the shipped table is reciprocal, and points become cells, areas and countries as SCHEMAS §3 says."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import h3
import pytest

from almenara.node.minimise.place import Places
from almenara.node.minimise.tables.reader import FINEST, Cells, Outlines, cell_of, path_of
from almenara.node.minimise.view import minimise
from tests.node.minimise.conftest import case_of, document

if TYPE_CHECKING:
    from almenara.node.cases.case import Case
    from almenara.node.minimise.policy import Policy

K = 10_000
CELLS = Cells.read()
PEOPLED = [country for country, (start, end) in CELLS.slices.items() if start < end]


def case_at(country: str, **place: Any) -> Case:
    written = document(random.Random(1)) | {"place": {"country": country, **place}}
    return case_of(written)


def views_at(places: Places, policy: Policy, country: str, **place: Any) -> list[dict[str, Any]]:
    case = case_at(country, **place)
    results = [minimise(case, tier, policy=policy, places=places, status="Test") for tier in (1, 2, 3)]
    return [{k: r.view[k] for k in ("country", "area", "cell") if k in r.view} for r in results]


def test_no_cell_of_the_table_stands_for_fewer_than_k_people() -> None:
    few = [at for at, people in enumerate(CELLS.people) if people < K]
    print(f"{len(CELLS.paths)} cells, {len(few)} of them with fewer than {K} people, least {min(CELLS.people)}")
    assert few == []


def test_no_cell_is_finer_than_resolution_6() -> None:
    assert max(h3.get_resolution(cell_of(path)) for path in CELLS.paths) == FINEST == 6


def test_paths_are_distinct_and_sorted_in_every_country() -> None:
    for country, (start, end) in CELLS.slices.items():
        paths = list(CELLS.paths[start:end])
        assert paths == sorted(set(paths)), country


def test_cells_and_paths_are_the_same_thing() -> None:
    for resolution in range(FINEST + 1):
        cell = h3.latlng_to_cell(4.6, -74.1, resolution)
        assert cell_of(path_of(cell)) == cell


def test_everybody_under_a_cell_without_cells_below_is_shown_this_cell(places: Places) -> None:
    rnd = random.Random(3)
    for country, (start, end) in CELLS.slices.items():
        for at in rnd.sample(range(start, end), min(3, end - start)):
            inside = cell = cell_of(CELLS.paths[at])
            if len(CELLS.below(country, CELLS.paths[at], h3.get_resolution(cell))) > 1:
                continue
            while h3.get_resolution(inside) < FINEST:
                inside = rnd.choice(sorted(h3.cell_to_children(inside)))
            assert places.cell_at(country, *h3.cell_to_latlng(inside)) == cell


def test_a_larger_cell_is_shown_only_outside_the_cells_in_it(places: Places) -> None:
    checked = 0
    for country in ("CO", "KE", "MM", "TN"):
        start, end = CELLS.slices[country]
        for at in range(start, end):
            cell = cell_of(CELLS.paths[at])
            resolution = h3.get_resolution(cell)
            for inner_at in list(CELLS.below(country, CELLS.paths[at], resolution))[:-1][:3]:
                inner = cell_of(CELLS.paths[inner_at])
                lat, lon = h3.cell_to_latlng(inner)
                assert places.cell_at(country, lat, lon) != cell or h3.get_resolution(inner) == FINEST
                checked += 1
    assert checked > 100


def test_the_sets_behind_shown_cells_never_overlap(places: Places) -> None:
    rnd = random.Random(5)
    seen: dict[tuple[str, str], str] = {}
    for _ in range(5000):
        country = rnd.choice(PEOPLED)
        start, end = CELLS.slices[country]
        lat, lon = h3.cell_to_latlng(cell_of(CELLS.paths[rnd.randrange(start, end)]))
        canonical = h3.latlng_to_cell(lat + rnd.uniform(-0.5, 0.5), lon + rnd.uniform(-0.5, 0.5), FINEST)
        found = places.cell_at(country, *h3.cell_to_latlng(canonical))
        assert seen.setdefault((country, canonical), found or "") == (found or "")
        assert found is None or places.people_in_cell(country, found) >= K


def test_a_place_where_nobody_is_known_to_live_is_shown_as_the_nearest_cell_of_the_same_parent(places: Places) -> None:
    found = 0
    for country in ("CO", "FR", "NG"):
        start, end = CELLS.slices[country]
        for path in CELLS.paths[start:end]:
            cell = cell_of(path)
            if h3.get_resolution(cell) != FINEST:
                continue
            for sibling in sorted(h3.cell_to_children(h3.cell_to_parent(cell, FINEST - 1))):
                choices = CELLS.choices(country, path_of(sibling))
                if len(choices) < 2:
                    continue
                here = h3.cell_to_latlng(sibling)
                shown = places.cell_at(country, *here)
                distances = {cell_of(p): h3.great_circle_distance(here, h3.cell_to_latlng(cell_of(p))) for p in choices}
                assert distances[shown or ""] == min(distances.values())
                found += 1
    assert found > 100


def test_nearby_points_are_shown_the_cell_of_their_one_canonical_cell(places: Places) -> None:
    rnd = random.Random(9)
    groups = defaultdict(set)
    for _ in range(2000):
        lat, lon = 2.44 + rnd.uniform(-0.5, 0.5), -76.61 + rnd.uniform(-0.5, 0.5)
        groups[h3.latlng_to_cell(lat, lon, FINEST)].add(places.cell_at("CO", lat, lon))
    assert all(len(shown) == 1 for shown in groups.values())
    assert len(groups) > 100


def test_a_city_in_colombia_goes_from_cell_to_area_to_country(places: Places, policy: Policy) -> None:
    partner, network, international = views_at(places, policy, "CO", lat=2.44, lon=-76.61, admin1="CO-CAU")
    assert partner == {"country": "CO", "area": "CO-CAU", "cell": partner["cell"]}
    assert places.people_in_cell("CO", partner["cell"]) >= K
    assert network == {"country": "CO", "area": "CO-CAU"}
    assert international == {"country": "CO"}


def test_the_area_is_that_of_the_cell_not_the_one_written(places: Places, policy: Policy) -> None:
    partner = views_at(places, policy, "CO", lat=2.44, lon=-76.61, admin1="CO-ANT")[0]
    assert partner["area"] == "CO-CAU"


@pytest.mark.parametrize(
    ("country", "lat", "lon", "admin1"),
    [("KE", -1.29, 36.82, "KE-30"), ("PH", 14.6, 120.98, "PH-00")],
    ids=["Kenya", "Metro Manila"],
)
def test_where_the_shapes_have_no_current_code_the_written_area_is_shown_and_no_cell(
    places: Places, policy: Policy, country: str, lat: float, lon: float, admin1: str
) -> None:
    partner, network, international = views_at(places, policy, country, lat=lat, lon=lon, admin1=admin1)
    assert partner == network == {"country": country, "area": admin1}
    assert international == {"country": country}


def test_without_a_written_area_the_cell_is_shown_alone(places: Places, policy: Policy) -> None:
    partner, network, _ = views_at(places, policy, "KE", lat=-1.29, lon=36.82)
    assert set(partner) == {"country", "cell"}
    assert network == {"country": "KE"}


def test_without_a_point_the_written_area_is_shown_if_enough_people_are_known(places: Places, policy: Policy) -> None:
    assert views_at(places, policy, "CO", admin1="CO-CAU")[0] == {"country": "CO", "area": "CO-CAU"}
    assert places.people_in_area("CO-AMA") < K
    assert views_at(places, policy, "CO", admin1="CO-AMA")[0] == {"country": "CO"}


def test_an_area_of_10_000_but_not_100_000_people_stops_at_partners(places: Places, policy: Policy) -> None:
    assert K <= places.people_in_area("CO-VAU") < 10 * K
    partner, network, _ = views_at(places, policy, "CO", admin1="CO-VAU")
    assert (partner, network) == ({"country": "CO", "area": "CO-VAU"}, {"country": "CO"})


def test_an_area_nobody_knows_the_people_of_is_not_shown(places: Places, policy: Policy) -> None:
    assert places.people_in_area("KE-47") == 0
    assert views_at(places, policy, "KE", admin1="KE-47")[0] == {"country": "KE"}


@pytest.mark.parametrize(("country", "subregion"), [("TV", "M49:061"), ("NR", "M49:057"), ("DM", "M49:419")])
def test_a_country_of_fewer_than_100_000_people_becomes_its_subregion_at_the_international_tier(
    places: Places, policy: Policy, country: str, subregion: str
) -> None:
    views = views_at(places, policy, country)
    assert [view["country"] for view in views] == [country, country, subregion]


def test_a_point_far_from_its_country_has_no_cell(places: Places, policy: Policy) -> None:
    assert views_at(places, policy, "CO", lat=0, lon=-120) == [{"country": "CO"}] * 3


def test_a_coarse_cell_speaks_for_no_area(places: Places) -> None:
    coarse = next(cell_of(p) for p in CELLS.paths if h3.get_resolution(cell_of(p)) == 1)
    assert all(places.area_of_cell(country, coarse) is None for country in ("CO", "BR", "RU"))


def test_points_are_found_in_their_countries_and_areas(places: Places) -> None:
    assert places.lies_in("CO", 2.44, -76.61) is True
    assert places.lies_in("VE", 2.44, -76.61) is False
    assert places.lies_in("CO-CAU", 2.44, -76.61) is True
    assert places.lies_in("KE", -1.29, 36.82) is True
    assert places.lies_in("KE-30", -1.29, 36.82) is None
    assert places.lies_in("GF", 4.9, -52.3) is None


def test_holes_are_outside_and_edges_are_near() -> None:
    outlines = Outlines.read()
    lesotho_in_south_africa = [code for code in outlines.codes if code.startswith("ZA")]
    assert lesotho_in_south_africa
    assert Places().lies_in("ZA", -29.5, 28.2) is False
    assert Places().lies_in("LS", -29.5, 28.2) is True


def test_countries_and_areas_are_those_of_today(places: Places) -> None:
    assert len(places.countries()) == 250
    assert all(places.has_country(code) for code in ("XK", "PS", "TW", "EH", "SS"))
    assert not any(places.has_country(code) for code in ("AN", "CS", "ZZ", "UK"))
    assert places.country_of("CO-CAU") == "CO"
    assert places.country_of("PH-00") == "PH"
    assert [places.country_of(code) for code in ("KE-110", "PH-MNL", "PH-ABR", "CO", "CO-", "-")] == [None] * 6
    assert "KE-30" in places.admin1_of("KE")
    assert len(places.admin1_of("KE")) == 47
