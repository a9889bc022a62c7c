"""Names of regions: ISO 3166-2 codes in the words of their own country (.ci/build_area_names.py)."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from pathlib import Path


@cache
def _names() -> dict[str, dict[str, str]]:
    names: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("areas.json").read_text(encoding="utf-8"))
    return names


def area_name(code: str) -> str:
    """Give the name of `CO-CAU`, or the code itself where none is known."""
    country, _, suffix = code.partition("-")
    return _names().get(country, {}).get(suffix, code)


def areas_of(country: str) -> list[str]:
    """Give the names of a country's regions, sorted."""
    return sorted(_names().get(country, {}).values(), key=plain)


def area_code(text: str, country: str) -> str:
    """Give the code for a region's name or code as somebody typed it; what is neither comes back as it was."""
    known = _names().get(country, {})
    if text.upper().removeprefix(f"{country}-") in known:
        return f"{country}-{text.upper().removeprefix(f'{country}-')}"
    matching = [suffix for suffix, name in known.items() if plain(name) == plain(text)]
    return f"{country}-{matching[0]}" if len(matching) == 1 else text


def plain(text: str) -> str:
    """Letters without case and accents, to compare and to sort names."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c)).strip()
