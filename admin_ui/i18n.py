"""Four languages: catalogues compiled in memory, and the choice of one for each request.

The repository holds `.po` files only; a catalogue is compiled when it is first needed.
"""

from __future__ import annotations

import gettext
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

if TYPE_CHECKING:
    from collections.abc import Iterable

    from babel.messages.catalog import Catalog

LANGUAGES = {"en": "English", "es": "Español", "fr": "Français", "ar": "العربية"}  # each in its own name
RIGHT_TO_LEFT = frozenset({"ar"})
DOMAIN = "almenara"
LOCALES = Path(__file__).parent / "locales"


def catalogue_path(language: str) -> Path:
    """Where the translations into `language` stand."""
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read_catalogue(language: str) -> Catalog:
    """Read one `.po` file."""
    with catalogue_path(language).open("rb") as source:
        return read_po(source, locale=language, domain=DOMAIN)


@cache
def translations(language: str) -> gettext.GNUTranslations:
    """Compile the catalogue of `language` in memory."""
    compiled = BytesIO()
    write_mo(compiled, read_catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def choose(chosen: str | None, accept_language: str, node_languages: Iterable[str]) -> str:
    """Give the reader's choice, else the best of `Accept-Language` (RFC 9110 §12.5.4), the node's, or English."""
    for wanted in (chosen or "", *_by_weight(accept_language), *node_languages):
        known = wanted.lower().split("-", maxsplit=1)[0]
        if known in LANGUAGES:
            return known
    return "en"


def _by_weight(accept_language: str) -> list[str]:
    weighed: list[tuple[float, str]] = []
    for part in accept_language[:500].split(","):
        name, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighed.append((weight, name.strip()))
    return [name for _, name in sorted(weighed, key=lambda pair: -pair[0])]
