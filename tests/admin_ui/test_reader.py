"""What the panel says is isolated, escaped, and no finer than what was shared."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from almenara.admin_ui.i18n import LANGUAGES
from almenara.admin_ui.reader import Reader, zone_of
from almenara.admin_ui.views.send import field_label

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_in_a_sentence_is_escaped_and_isolated(language: str) -> None:
    said = Reader(language).say("from %(name)s", name=HOSTILE)
    assert "<script" not in said
    assert '<bdi dir="auto">&#34;&gt;&lt;script' in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_problem_expected_is_said_in_the_readers_words(language: str) -> None:
    """The command line has the codes; a case worker knows the words of the form."""
    reader = Reader(language)
    said = reader.expected("consent.state", "share-network, share-subscribers or publish")
    assert "share-" not in said
    for state in ("share-network", "share-subscribers", "publish"):
        assert f"<bdi>{reader.label('consent_state', state)}</bdi>" in said
    assert reader.expected("max_tlp", "at most TLP:AMBER") == "at most TLP:AMBER"
    named = "this circle in the audience"
    assert (reader.expected("consent.audience", named) == named) is (language == "en")


def test_everything_that_stays_is_named_in_the_readers_words() -> None:
    """A part of the case that the form shows as several fields has a name of its own."""
    spanish = Reader("es")
    for path in ("persons", "evidence", "source", "consent", "title"):
        assert field_label(spanish, path) not in {path, field_label(Reader("en"), path)}


def test_a_code_reads_from_left_to_right_in_every_language() -> None:
    """Without isolation a browser shows 1234 5678 9012 backwards in an Arabic sentence (measured)."""
    assert Reader("ar").code("1234 5678 9012") == '<bdi dir="ltr" class="code">1234 5678 9012</bdi>'


@pytest.mark.parametrize(
    ("language", "coarse", "shown"),
    [
        ("en", "2026-11-20", "<bdi>20 November 2026</bdi>"),
        ("en", "2026-11", "<bdi>November 2026</bdi>"),
        ("en", "2026-W47", "week of <bdi>16 Nov</bdi> to <bdi>22 Nov 2026</bdi>"),
        ("fr", "2026-W01", "semaine du <bdi>29 déc.</bdi> au <bdi>4 janv. 2026</bdi>"),
        ("es", "2026-11", "<bdi>noviembre 2026</bdi>"),
    ],
)
def test_a_coarse_time_is_shown_as_coarse_as_it_was_shared(language: str, coarse: str, shown: str) -> None:
    assert Reader(language).when(coarse) == shown


@pytest.mark.parametrize("strange", ["2026-W99", "2026-13", "yesterday", "", "2026-02-30", HOSTILE])
def test_a_time_that_is_none_is_shown_as_it_came(strange: str) -> None:
    assert "<script" not in Reader("en").when(strange)


def test_instants_are_shown_in_the_readers_zone() -> None:
    text = "2026-11-20T14:37:00.000Z"
    assert "20 Nov 2026, 09:37" in Reader("en", ZoneInfo("America/Bogota")).instant(text)
    assert "20 Nov 2026, 14:37 UTC" in Reader("en").instant(text)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "Nowhere/Never", "x" * 100, "/etc/localtime", "a\0b"])
def test_a_zone_that_is_none_is_utc(name: str) -> None:
    assert zone_of(name) is UTC


def test_unknown_codes_are_shown_as_they_came() -> None:
    reader = Reader("es")
    assert reader.threat("physical.not-yet-invented") == "physical.not-yet-invented"
    assert reader.country("QQ") == "QQ"
    assert reader.area("CO-QQQ") == "CO-QQQ"
    assert reader.perpetrator("martian") == "martian"


def test_domains_classes_and_subregions_have_words_too() -> None:
    reader = Reader("en")
    assert reader.threat("tnr") == "Transnational repression"
    assert reader.perpetrator("non-state") != "non-state"
    assert reader.country("M49:054") != "M49:054"
    assert reader.area("CO-CAU") == "Cauca"


def test_countries_are_countries() -> None:
    codes = {code for code, _ in Reader("en").countries()}
    assert {"CO", "KE", "TN", "XK", "PS", "TW"} <= codes
    assert not codes & {"EU", "UN", "ZZ", "EZ"}
