"""The four languages are complete, and every reader gets the one that is hers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from almenara.admin_ui.i18n import LANGUAGES, choose, read_catalogue, translations

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

ROOT = Path(__file__).parents[2]
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
ARABIC_EXACT = 3  # forms for none, one and two, which say the number as a word


@pytest.fixture(scope="module")
def template() -> Catalog:
    """Every sentence the code says."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / ".ci" / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    found: Catalog = messages.extract()
    return found


def forms(said: object) -> tuple[str, ...]:
    return tuple(said) if isinstance(said, (list, tuple)) else (str(said),)


def sentences(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_code_is_translated(template: Catalog, language: str) -> None:
    catalogue = read_catalogue(language)
    missing = [message.id for message in sentences(template) if not _translated(catalogue, message)]
    assert missing == []


def _translated(catalogue: Catalog, message: Message) -> bool:
    found = catalogue.get(message.id)
    return found is not None and all(forms(found.string))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_fuzzy_or_left_over(template: Catalog, language: str) -> None:
    wanted = {forms(message.id) for message in sentences(template)}
    catalogue = read_catalogue(language)
    assert [message.id for message in sentences(catalogue) if message.fuzzy] == []
    assert [message.id for message in sentences(catalogue) if forms(message.id) not in wanted] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_those_of_the_sentence(language: str) -> None:
    for message in sentences(read_catalogue(language)):
        wanted = set(PLACEHOLDER.findall(forms(message.id)[-1]))
        for number, said in enumerate(forms(message.string)):
            found = set(PLACEHOLDER.findall(said))
            number_as_word = language == "ar" and message.pluralizable and number < ARABIC_EXACT
            assert found == wanted or (number_as_word and wanted - found <= {"num"}), (message.id, said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_holds_markup(language: str) -> None:
    for message in sentences(read_catalogue(language)):
        assert not any("<" in said or "&" in said for said in forms(message.string)), message.id


def test_no_language_but_english_repeats_the_english_sentence() -> None:
    """A sentence of three words and more that reads the same in another language was forgotten."""
    for language in ("es", "fr", "ar"):
        same = [
            message.id
            for message in sentences(read_catalogue(language))
            if forms(message.id)[0] == forms(message.string)[0] and len(forms(message.id)[0].split()) >= 3
        ]
        assert same == [], language


def test_arabic_counts_in_six_forms() -> None:
    said = {
        translations("ar").ngettext("%(num)s circle", "%(num)s circles", number) for number in (0, 1, 2, 3, 11, 100)
    }
    assert len(said) >= 4


@pytest.mark.parametrize(
    ("chosen", "accept", "node", "expected"),
    [
        ("ar", "fr", ["es"], "ar"),
        (None, "de, fr;q=0.8, en;q=0.7", ["es"], "fr"),
        (None, "es-CO,es;q=0.9,en;q=0.8", ["en"], "es"),
        (None, "de", ["es"], "es"),
        (None, "", [], "en"),
        ("xx", "en;q=0, ar;q=0.1", [], "ar"),
        (None, "en;q=nonsense, fr", [], "fr"),
        (None, "," * 10_000, [], "en"),
    ],
)
def test_the_readers_own_choice_comes_first_then_her_browser_then_the_node(
    chosen: str | None, accept: str, node: list[str], expected: str
) -> None:
    assert choose(chosen, accept, node) == expected
