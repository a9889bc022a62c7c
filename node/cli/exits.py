"""Exit codes, and what becomes which (SCHEMAS §8)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a script learns without reading."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_THERE = 3
    OUR_FAULT = 4


_BY_TYPE = {"unreachable": Exit.NOT_THERE, "internal": Exit.OUR_FAULT}
URN = "urn:almenara:problem:"


def exit_for(problem_type: str) -> Exit:
    """The exit code of a problem, by its type with or without the URN before it."""
    return _BY_TYPE.get(problem_type.removeprefix(URN), Exit.REFUSED)
