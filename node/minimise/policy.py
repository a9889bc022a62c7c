"""The minimisation policy: an allow-list in TOML, held to floors that stand here and not in the file (DESIGN §7).

A policy can only narrow. For each field and tier the floor is the finest step there is; a policy may choose a coarser
one, or nothing where an alert can do without. A wider tier may not have a finer step than a narrower one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PARTNER, NETWORK, INTERNATIONAL = 1, 2, 3
TIERS: Final = {"partner": PARTNER, "network": NETWORK, "international": INTERNATIONAL}
NOTHING: Final = "-"

MOST_PEOPLE: Final = 10_000_000_000  # more than there are: such a floor shows no place at all


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of a field from fine to coarse, and the finest one each tier may have."""

    steps: tuple[str, ...]
    finest: tuple[str, str, str]

    def rank(self, step: str) -> int:
        """Give how coarse a step is. Raises ValueError for a step the field does not have."""
        return self.steps.index(step)


_AS_IS = ("as-is", "as-is", "as-is")
_NEEDED = Ladder(("as-is",), _AS_IS)
_OPTIONAL = Ladder(("as-is", NOTHING), _AS_IS)
_NETWORK_ONLY = Ladder(("as-is", NOTHING), ("as-is", "as-is", NOTHING))
_EITHER_OR = Ladder(("as-is", "chosen", NOTHING), ("as-is", "chosen", NOTHING))

LADDERS: Final[Mapping[str, Ladder]] = MappingProxyType(
    {
        "threats": Ladder(("code", "domain"), ("code", "code", "domain")),
        "perpetrator": Ladder(("code", "class"), ("code", "code", "class")),
        "phase": _NEEDED,
        "severity": _NEEDED,
        "urgency": _NEEDED,
        "certainty": _NEEDED,
        "verification": _NEEDED,
        "permitted_actions": _NEEDED,
        "target_unit": _NEEDED,
        "situation": _NETWORK_ONLY,
        "transnational": _OPTIONAL,
        "reprisal": _NETWORK_ONLY,
        "gendered_dimension": _NETWORK_ONLY,
        "role": _EITHER_OR,
        "issue": _EITHER_OR,
        "place": Ladder(("cell", "area", "country", "subregion"), ("cell", "area", "country")),
        "occurred_at": Ladder(("day", "week", "month", NOTHING), ("day", "week", "month")),
        "requests": _OPTIONAL,
        "offers": _OPTIONAL,
    }
)
LEAST_PEOPLE: Final = {PARTNER: 10_000, NETWORK: 100_000, INTERNATIONAL: 100_000}  # SCHEMAS §3, k per tier


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was checked against the floors."""

    version: int
    steps: Mapping[tuple[str, int], str]
    people: Mapping[int, int]

    def step(self, field: str, tier: int) -> str:
        """Give the step of a field at a tier; nothing for a field the policy does not name."""
        return self.steps.get((field, tier), NOTHING)


def shipped_text() -> str:
    """Give the text of the shipped policy, for `init` to copy into a node's home."""
    return files(__package__).joinpath("policy.toml").read_text(encoding="utf-8")


def default_policy() -> Policy:
    """Give the shipped policy: the table of DESIGN §7."""
    return parse_policy(shipped_text())


def load_policy(path: Path) -> Policy:
    """Read a node's own policy. Raises Problem, whose field says where it is wrong; NOT_FOUND if there is no file."""
    try:
        return parse_policy(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise _refuse("", "a TOML file in UTF-8") from None
    except OSError:
        raise Problem(Kind.NOT_FOUND, field="policy.toml", expected="the policy that `almenara init` wrote") from None


def parse_policy(text: str) -> Policy:
    """Read a policy and hold it to the floors. Raises Problem for anything unknown, missing or wider than a floor."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise _refuse("", "a TOML file") from None
    _only_known("", table, {"version", "people", "field"})
    version = table.get("version")
    if type(version) is not int or not 1 <= version < 2**31:
        raise _refuse("version", "a number from 1")
    fields = _table(table, "field")
    _only_known("field.", fields, LADDERS)
    steps: dict[tuple[str, int], str] = {}
    for field, ladder in LADDERS.items():
        if field in fields:
            steps.update(_steps_of(field, ladder, fields[field]))
        elif NOTHING not in ladder.steps:
            raise _refuse(f"field.{field}", "steps for the three tiers; no alert is complete without it", "nothing")
    return Policy(version, MappingProxyType(steps), MappingProxyType(_people(_table(table, "people"))))


def _table(table: dict[str, Any], name: str) -> dict[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise _refuse(name, "a table")
    return found


def _steps_of(field: str, ladder: Ladder, written: object) -> dict[tuple[str, int], str]:
    if not isinstance(written, dict):
        raise _refuse(f"field.{field}", "steps for partner, network and international")
    _only_known(f"field.{field}.", written, TIERS)
    steps, narrower = {}, 0
    for (name, tier), finest in zip(TIERS.items(), ladder.finest, strict=True):
        where, least = f"field.{field}.{name}", max(narrower, ladder.rank(finest))
        step = written.get(name, NOTHING)
        if step not in ladder.steps or ladder.rank(step) < least:
            raise _refuse(where, " or ".join(ladder.steps[least:]), step)
        narrower = ladder.rank(step)
        steps[field, tier] = step
    return steps


def _people(written: dict[str, Any]) -> dict[int, int]:
    _only_known("people.", written, TIERS)
    people = {}
    for name, tier in TIERS.items():
        number = written.get(name, LEAST_PEOPLE[tier])
        if type(number) is not int or not LEAST_PEOPLE[tier] <= number <= MOST_PEOPLE:
            raise _refuse(f"people.{name}", f"a number of at least {LEAST_PEOPLE[tier]}", number)
        people[tier] = number
    return people


def _only_known(prefix: str, written: Mapping[str, Any], known: Any) -> None:
    for name in written:
        if name not in known:
            raise Problem(Kind.UNKNOWN_FIELD, field=f"policy.{prefix}{name}", expected=", ".join(sorted(known)))


def _refuse(field: str, expected: str, got: object = "") -> Problem:
    return Problem(Kind.MALFORMED, field=f"policy.{field}".rstrip("."), expected=expected, got=str(got)[:40])
