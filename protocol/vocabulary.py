"""The controlled vocabulary: closed lists of codes with labels in four languages (DESIGN §8; SPEC §12).

The lists stand in `vocabulary.json`, one line per code, and carry one version that every alert names. Codes travel as
text exactly as they stand there. A code this version does not know is kept and shown as it came, never dropped.

Outside standards keep their published words: CAP 1.2, TLP 2.0, Admiralty code, FIRST IEP 2.0, letters of SDG indicator
16.10.1, HURIDOCS micro-thesaurus numbers (threats: 4, perpetrators: 24, target units: 7), UN M49 subregions as `M49:`
and three digits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """One code of one list.

    `domain` and `sdg` are there for threats, `actor_class` for perpetrators, `meanings` where a word needs a sentence.
    """

    code: str
    labels: Mapping[str, str]
    meanings: Mapping[str, str]
    domain: str = ""
    sdg: tuple[str, ...] = ()
    huridocs: tuple[str, ...] = ()
    actor_class: str = ""


def _code(entry: dict[str, Any]) -> Code:
    return Code(
        code=entry["code"],
        labels=MappingProxyType(entry["labels"]),
        meanings=MappingProxyType(entry.get("meanings", {})),
        domain=entry.get("domain", ""),
        sdg=tuple(entry.get("sdg", ())),
        huridocs=tuple(entry.get("huridocs", ())),
        actor_class=entry.get("class", ""),
    )


_FILE: dict[str, Any] = json.loads(files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8"))

VERSION: int = _FILE["version"]
LANGUAGES: tuple[str, ...] = tuple(_FILE["languages"])
LISTS: Mapping[str, Mapping[str, Code]] = MappingProxyType(
    {
        name: MappingProxyType({entry["code"]: _code(entry) for entry in entries})
        for name, entries in _FILE["lists"].items()
    }
)


def codes(name: str) -> tuple[str, ...]:
    """Give the codes of the list `name`, in their published order. Raises KeyError for a list that does not exist."""
    return tuple(LISTS[name])


def is_known(name: str, code: str) -> bool:
    """Whether this version of the list `name` has `code`."""
    return code in LISTS[name]


def label(name: str, code: str, language: str) -> str:
    """Give the word for `code` in `language` (`es-CO` counts as `es`), else English; an unknown code as it came."""
    known = LISTS[name].get(code)
    if known is None:
        return code
    return known.labels.get(language.split("-", maxsplit=1)[0], known.labels["en"])


def meaning(name: str, code: str, language: str) -> str:
    """Give one sentence on what `code` stands for, empty where its label says enough."""
    known = LISTS[name].get(code)
    if known is None or not known.meanings:
        return ""
    return known.meanings.get(language.split("-", maxsplit=1)[0], known.meanings["en"])


def threat_domain(code: str) -> str:
    """Give the domain of a threat code, its part before the dot; a domain is its own."""
    return code.split(".", 1)[0]


def perpetrator_class(code: str) -> str:
    """Give `state`, `non-state` or `unknown` for a perpetrator code (SCHEMAS §3, slot 11)."""
    if code in LISTS["perpetrator_class"]:
        return code
    known = LISTS["perpetrator"].get(code)
    return known.actor_class if known else "unknown"


TLP: tuple[str, ...] = codes("tlp")
"""TLP labels by their number in a header: CLEAR 0, GREEN 1, AMBER 2, AMBER+STRICT 3, RED 4 (SCHEMAS §1)."""
