"""Bring the catalogues of the panel up to date with the sentences in the code: `make messages`.

New sentences come in untranslated, sentences no longer said go out, none is guessed (no fuzzy matches). English says
what the code says. tests/admin_ui fails until every language has every sentence.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
MAPPING = ROOT / "admin_ui" / "babel.cfg"
LOCALES = ROOT / "admin_ui" / "locales"
LANGUAGES = ("en", "es", "fr", "ar")
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "say": None, "say_many": (1, 2)}

HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plural}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def extract() -> Catalog:
    """Every sentence that admin_ui and node mark for translation."""
    with MAPPING.open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = Catalog(project="almenara", charset="utf-8")
    for folder in ("admin_ui", "node"):
        inside = [(pattern, method) for pattern, method in methods if pattern.startswith(folder)]
        prefixed = [(pattern.removeprefix(f"{folder}/"), method) for pattern, method in inside]
        known = {pattern.removeprefix(f"{folder}/"): value for pattern, value in options.items()}
        for name, _line, message, _comments, _context in extract_from_dir(
            ROOT / folder, method_map=prefixed, options_map=known, keywords=KEYWORDS
        ):
            if message:
                found.add(message, locations=[(f"{folder}/{name}", 0)])
    return found


def updated(language: str, template: Catalog) -> Catalog:
    """The catalogue of `language` with exactly the sentences of `template`, translations kept."""
    path = LOCALES / language / "LC_MESSAGES" / "almenara.po"
    with path.open("rb") as source:
        old = read_po(source, locale=language)
    new = Catalog(locale=language, project="almenara", charset="utf-8", fuzzy=False)
    for message in template:
        if not message.id:
            continue
        kept = old.get(message.id)
        said = kept.string if kept and kept.string else ""
        if language == "en":
            said = message.id
        new.add(message.id, said, locations=sorted({(*place[:1], 0) for place in message.locations}))
    return new


def main() -> None:
    """Rewrite the four catalogues."""
    template = extract()
    for language in LANGUAGES:
        catalogue = updated(language, template)
        written = BytesIO()
        write_po(written, catalogue, width=120, sort_output=True, include_lineno=False, omit_header=True)
        path = LOCALES / language / "LC_MESSAGES" / "almenara.po"
        path.write_bytes(HEADER.format(language=language, plural=catalogue.plural_forms).encode() + written.getvalue())
        missing = sum(1 for message in catalogue if message.id and not any(_parts(message.string)))
        print(f"{language}: {len(catalogue)} sentences, {missing} without translation")


def _parts(said: object) -> tuple[str, ...]:
    return tuple(said) if isinstance(said, (list, tuple)) else (str(said),)


if __name__ == "__main__":
    main()
