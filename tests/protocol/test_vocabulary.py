"""The vocabulary file: complete labels, published counts, and the coarser word of every threat and perpetrator."""

from __future__ import annotations

import re

import pytest

from almenara.protocol import vocabulary
from almenara.protocol.vocabulary import LANGUAGES, LISTS


def test_every_code_has_a_label_in_every_language() -> None:
    missing = [
        (n, c.code, lang)
        for n, rows in LISTS.items()
        for c in rows.values()
        for lang in LANGUAGES
        if not c.labels[lang]
    ]
    assert missing == []


def test_arabic_labels_are_arabic_but_for_tlp_which_is_never_translated() -> None:
    arabic = re.compile(r"[\u0600-\u06ff]")
    latin_only = [
        c.code for n, rows in LISTS.items() if n != "tlp" for c in rows.values() if not arabic.search(c.labels["ar"])
    ]
    assert latin_only == []
    assert all(set(c.labels.values()) == {c.code} for c in LISTS["tlp"].values())


def test_labels_are_distinct_within_a_list() -> None:
    for name, rows in LISTS.items():
        for language in LANGUAGES:
            labels = [code.labels[language] for code in rows.values()]
            assert len(labels) == len(set(labels)), (name, language)


def test_counts_of_the_published_lists() -> None:
    assert len(LISTS["threat"]) == 96
    assert len(LISTS["threat_domain"]) == 13
    assert vocabulary.codes("severity") == ("Extreme", "Severe", "Moderate", "Minor", "Unknown")
    assert vocabulary.codes("tlp") == ("TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED")


def test_every_threat_has_a_known_domain_and_sdg_letters_of_16_10_1() -> None:
    for threat in LISTS["threat"].values():
        assert threat.domain == vocabulary.threat_domain(threat.code)
        assert vocabulary.is_known("threat_domain", threat.domain)
        assert set(threat.sdg) <= set("ABCDEF")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("state.police", "state"),
        ("quasi-state.de-facto-authority", "state"),
        ("proxy.online-group", "state"),
        ("occupying-force", "state"),
        ("foreign-state", "state"),
        ("nonstate.media", "non-state"),
        ("business.local", "non-state"),
        ("unknown", "unknown"),
        ("other", "unknown"),
        ("state.of-a-later-version", "unknown"),
        ("non-state", "non-state"),
    ],
)
def test_class_of_a_perpetrator(code: str, expected: str) -> None:
    assert vocabulary.perpetrator_class(code) == expected


def test_an_unknown_code_is_shown_as_it_came() -> None:
    assert vocabulary.label("threat", "digital.of-a-later-version", "es") == "digital.of-a-later-version"
    assert vocabulary.label("severity", "Severe", "es-CO") == "Grave"
    assert vocabulary.label("severity", "Severe", "my") == "Severe"
    assert vocabulary.meaning("urgency", "Immediate", "fr") == "Agir dans les 24 heures"
