"""Reading the packed tables into arrays: a megabyte and a half in memory, a few milliseconds to load."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from importlib.resources import files

import h3

FINEST = 6  # H3 resolution: no cell of the table, and none that is ever shown, is finer
UNITS_PER_DEGREE = 32_767 / 180  # coordinates of outlines are 16-bit integers, 600 m apart

_MODE_CELL = 1 << 59
_UNUSED_DIGITS = (1 << 3 * (15 - FINEST)) - 1
_PATH_BITS = 7 + 3 * FINEST


def read_table(name: str) -> bytes:
    """Give the bytes of one shipped table."""
    return files(__package__).joinpath(name).read_bytes()


def _numbers(kind: str, data: bytes) -> array[int]:
    numbers = array(kind)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def path_of(cell: str) -> int:
    """Give a cell's place in the tree as 25 bits: base cell, then 3 bits for each resolution, 7 for none.

    Everything below a cell is one range of paths, and its own path is the range's end.
    """
    index: int = h3.str_to_int(cell)
    return (index >> (3 * (15 - FINEST))) & ((1 << _PATH_BITS) - 1)


def cell_of(path: int) -> str:
    """Give the cell at a path."""
    resolution = FINEST
    while resolution and path >> (3 * (FINEST - resolution)) & 7 == 7:
        resolution -= 1
    cell: str = h3.int_to_str(_MODE_CELL | resolution << 52 | path << (3 * (15 - FINEST)) | _UNUSED_DIGITS)
    return cell


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells as which the places of each country are shown, sorted by path; `people` are shown as each.

    A cell of the table may lie in another one of it: then it is shown apart from the rest of the larger one.
    """

    paths: array[int]
    people: array[int]
    slices: dict[str, tuple[int, int]]

    @classmethod
    def read(cls) -> Cells:
        """Read cells.bin."""
        data = read_table("cells.bin")
        (countries,) = struct.unpack_from("<H", data)
        slices, start, at = {}, 0, 2
        for _ in range(countries):
            code, count = struct.unpack_from("<2sI", data, at)
            slices[code.decode()] = (start, start + count)
            start, at = start + count, at + 6
        middle = at + 4 * start
        return cls(_numbers("I", data[at:middle]), _numbers("I", data[middle:]), slices)

    def below(self, country: str, path: int, resolution: int) -> range:
        """Give the positions of the cells that are, or lie in, the ancestor of `path` at a resolution."""
        start, end = self.slices.get(country, (0, 0))
        rest = (1 << 3 * (FINEST - resolution)) - 1
        first = bisect_left(self.paths, path & ~rest, start, end)
        return range(first, bisect_left(self.paths, (path | rest) + 1, start, end))

    def choices(self, country: str, path: int) -> list[int]:
        """Give the paths of the cells as which a place may be shown.

        One, if its closest ancestor that has cells below it is a cell of the table itself; otherwise those below that
        ancestor, of which the nearest is to be taken: nobody is known to live at the place.
        """
        for resolution in range(FINEST, -1, -1):
            if found := self.below(country, path, resolution):
                whole = path | ((1 << 3 * (FINEST - resolution)) - 1)
                last = self.paths[found[-1]]
                return [last] if last == whole else [self.paths[at] for at in found]
        return []

    def people_at(self, country: str, path: int) -> int:
        """Give how many people are shown as the cell at a path, 0 if it is not in the table."""
        start, end = self.slices.get(country, (0, 0))
        at = bisect_left(self.paths, path, start, end)
        return self.people[at] if at < end and self.paths[at] == path else 0


@dataclass(frozen=True, slots=True)
class Outlines:
    """Outlines of areas; a code of two letters is what a country has outside its current areas.

    `boxes` holds west, south, east, north of each; `rings` where its rings begin in `ends`; `ends` where rings end in
    `points`, which are longitudes and latitudes in turn.
    """

    codes: tuple[str, ...]
    boxes: array[int]
    rings: array[int]
    ends: array[int]
    points: array[int]

    @classmethod
    def read(cls) -> Outlines:
        """Read shapes.bin."""
        data = read_table("shapes.bin")
        count, ring_count = struct.unpack_from("<HI", data)
        codes, boxes, rings, at = [], array("h"), array("I", [0]), 6
        for _ in range(count):
            code, *box, ring = struct.unpack_from("<6s4hH", data, at)
            codes.append(code.rstrip(b"\0").decode())
            boxes.extend(box)
            rings.append(rings[-1] + ring)
            at += 16
        ends, total = array("I", [0]), 0
        for length in _numbers("I", data[at : at + 4 * ring_count]):
            total += length
            ends.append(total)
        return cls(tuple(codes), boxes, rings, ends, _numbers("h", data[at + 4 * ring_count :]))

    def of(self, country: str) -> range:
        """Give the shapes of a country."""
        return range(bisect_left(self.codes, country), bisect_left(self.codes, country + "~"))

    def ring_ranges(self, shape: int) -> list[tuple[int, int]]:
        """Give the ranges of `points` that are the rings of a shape."""
        return [(self.ends[r], self.ends[r + 1]) for r in range(self.rings[shape], self.rings[shape + 1])]

    def contains(self, shape: int, x: float, y: float) -> bool:
        """Tell whether a point, in units, lies inside a shape (even-odd rule, holes included)."""
        west, south, east, north = self.boxes[4 * shape : 4 * shape + 4]
        if not (west <= x <= east and south <= y <= north):
            return False
        inside, points = False, self.points
        for start, end in self.ring_ranges(shape):
            x1, y1 = points[end - 2], points[end - 1]
            for at in range(start, end, 2):
                x2, y2 = points[at], points[at + 1]
                if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                    inside = not inside
                x1, y1 = x2, y2
        return inside

    def is_near(self, shape: int, x: float, y: float, reach: float) -> bool:
        """Tell whether a point lies within `reach` units of the outline of a shape."""
        west, south, east, north = self.boxes[4 * shape : 4 * shape + 4]
        if not (west - reach <= x <= east + reach and south - reach <= y <= north + reach):
            return False
        points = self.points
        for start, end in self.ring_ranges(shape):
            x1, y1 = points[end - 2], points[end - 1]
            for at in range(start, end, 2):
                x2, y2 = points[at], points[at + 1]
                if _distance_squared(x, y, x1, y1, x2, y2) <= reach * reach:
                    return True
                x1, y1 = x2, y2
        return False


def _distance_squared(x: float, y: float, x1: int, y1: int, x2: int, y2: int) -> float:
    dx, dy = x2 - x1, y2 - y1
    along = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy) if dx or dy else 0.0
    along = min(1.0, max(0.0, along))
    return (x - x1 - along * dx) ** 2 + (y - y1 - along * dy) ** 2
