"""Places: which exist, how many people live in them, and which cell or area a point may be shown as (SCHEMAS §3).

A point becomes one canonical H3 cell of resolution 6, and that the cell of a shipped table as which it is shown. The
table divides the people of each country top-down into sets of at least 10,000 and names for each set one cell around
it. Everybody in a set is always shown as this cell and nobody else is, so a shown cell never stands for fewer
(reciprocity). It is made for each country apart, because a view names the country beside the cell.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import h3

from almenara.node.minimise.tables.reader import (
    FINEST,
    UNITS_PER_DEGREE,
    Cells,
    Outlines,
    cell_of,
    path_of,
    read_table,
)

COARSEST_FOR_AREA = 3  # H3 resolution: a coarser cell, of 87,000 km², spans areas, and its centre speaks for none
NEAR_DEGREES = 0.1  # outlines are simplified and coasts move: a point this close counts as inside when only warning


@cache
def _areas() -> dict[str, Any]:
    areas: dict[str, Any] = json.loads(read_table("areas.json"))
    return areas


@cache
def _cells() -> Cells:
    return Cells.read()


@cache
def _outlines() -> Outlines:
    return Outlines.read()


class Places:
    """The shipped tables, each read when it is first needed."""

    def has_country(self, code: str) -> bool:
        """Tell whether ISO 3166-1 (and XK) has this alpha-2 code."""
        return code in _areas()["countries"]

    def countries(self) -> tuple[str, ...]:
        """Give all country codes, sorted."""
        return tuple(_areas()["countries"])

    def admin1_of(self, country: str) -> tuple[str, ...]:
        """Give the current ISO 3166-2 codes without parent of a country, sorted."""
        return tuple(f"{country}-{suffix}" for suffix in _areas()["admin1"].get(country, {}))

    def country_of(self, admin1: str) -> str | None:
        """Give the country of a current ISO 3166-2 code without parent, None if there is no such code."""
        country, _, suffix = admin1.partition("-")
        return country if suffix in _areas()["admin1"].get(country, {}) else None

    def people_in_country(self, code: str) -> int:
        """Give the people of a country, or of a subregion such as `M49:054`; 0 if unknown."""
        countries = _areas()["countries"]
        if code.startswith("M49:"):
            return sum(people for people, subregion in countries.values() if subregion == code)
        return int(countries.get(code, (0, ""))[0])

    def people_in_area(self, admin1: str) -> int:
        """Give the people known to live in an area, 0 if unknown."""
        country, _, suffix = admin1.partition("-")
        return int(_areas()["admin1"].get(country, {}).get(suffix, 0))

    def people_in_cell(self, country: str, cell: str) -> int:
        """Give how many people of the country are shown as this cell, 0 if nobody ever is."""
        return _cells().people_at(country, path_of(cell))

    def subregion_of(self, country: str) -> str:
        """Give the UN M49 subregion of a country; the world, `M49:001`, where M49 has none."""
        return str(_areas()["countries"][country][1])

    def cell_at(self, country: str, lat: float, lon: float) -> str | None:
        """Give the cell as which a point of this country is shown, None where the country's table has none near."""
        canonical = h3.latlng_to_cell(lat, lon, FINEST)
        here = h3.cell_to_latlng(canonical)
        cells = [cell_of(path) for path in _cells().choices(country, path_of(canonical))]
        if len(cells) < 2:
            return cells[0] if cells else None
        return min(cells, key=lambda cell: (h3.great_circle_distance(here, h3.cell_to_latlng(cell)), cell))

    def area_of_cell(self, country: str, cell: str) -> str | None:
        """Give the current area of this country in which a cell's centre lies, None where the shapes cannot tell."""
        if h3.get_resolution(cell) < COARSEST_FOR_AREA:
            return None
        lat, lon = h3.cell_to_latlng(cell)
        outlines, x, y = _outlines(), lon * UNITS_PER_DEGREE, lat * UNITS_PER_DEGREE
        for shape in outlines.of(country):
            if outlines.contains(shape, x, y):
                code = outlines.codes[shape]
                return code if self.country_of(code) else None
        return None

    def lies_in(self, code: str, lat: float, lon: float) -> bool | None:
        """Tell whether a point lies in a country or area, or within NEAR_DEGREES; None where no shape has this code."""
        outlines, x, y = _outlines(), lon * UNITS_PER_DEGREE, lat * UNITS_PER_DEGREE
        shapes = [at for at in outlines.of(code[:2]) if outlines.codes[at] == code or code == code[:2]]
        if not shapes:
            return None
        reach = NEAR_DEGREES * UNITS_PER_DEGREE
        return any(outlines.contains(at, x, y) or outlines.is_near(at, x, y, reach) for at in shapes)
