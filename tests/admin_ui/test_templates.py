"""Templates keep the rules: they compile, hold nothing inline, and put no filled-in sentence into an attribute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from almenara.admin_ui.icons import icon
from almenara.admin_ui.render import HERE, STATIC, environment

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = sorted((HERE / "templates").rglob("*.html"))
PLAIN_PAGES = {"shell.html", "base.html", "door.html", "away.html", "saved.html", "not_saved.html"}
CSS = (STATIC / "almenara.css").read_text(encoding="utf-8")


def each_template() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)


@each_template()
def test_it_compiles(path: Path) -> None:
    environment().get_template(str(path.relative_to(HERE / "templates")))


@each_template()
def test_it_has_no_inline_style_script_or_handler(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", text)


@each_template()
def test_it_turns_escaping_off_nowhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)


@each_template()
def test_it_asks_nobody_but_the_node(path: Path) -> None:
    assert not re.search(r"(?:src|href|action|hx-\w+)=\"(?:https?:)?//", path.read_text(encoding="utf-8"))


@each_template()
def test_no_sentence_with_values_stands_in_an_attribute(path: Path) -> None:
    """Values come as markup (`<bdi>`); inside an attribute its quotes would end the attribute."""
    text = path.read_text(encoding="utf-8")
    inside = re.findall(r'="([^"]*\{\{[^}]*(?:"[^"]*"[^}]*)?\}\}[^"]*)"', text)
    for attribute in inside:
        assert not re.search(r"(?:_|ngettext)\([^)]*,", attribute), attribute
        assert not re.search(r"reader\.(?:instant|day|when|number|code|say)\(", attribute), attribute


@each_template()
def test_a_page_has_exactly_one_h1(path: Path) -> None:
    if path.parent.name == "parts" or path.name in PLAIN_PAGES:
        return
    assert path.read_text(encoding="utf-8").count("<h1") == 1


@each_template()
def test_nothing_confidential_stands_in_a_title(path: Path) -> None:
    titles = re.findall(r"\{% block title %\}(.*?)\{% endblock %\}", path.read_text(encoding="utf-8"))
    for title in titles:
        assert re.fullmatch(r'\{\{ _\("[^"]+"\) \}\}|styleguide|', title), title


@each_template()
def test_a_form_that_changes_something_carries_the_token(path: Path) -> None:
    for form in re.findall(r'<form method="post".*?</form>', path.read_text(encoding="utf-8"), re.DOTALL):
        assert "token()" in form or 'name="csrf"' in form


def test_the_style_sheet_uses_logical_properties_only() -> None:
    """Arabic mirrors by itself only where nothing says left or right."""
    physical = (
        r"(?<![\w-])(?:margin|padding|border|inset)-(?:left|right|top|bottom)|(?<![\w-])(?:left|right|top|bottom):"
    )
    assert re.findall(physical, CSS) == []
    assert re.findall(r"text-align:\s*(?:left|right)|float:\s*(?:left|right)", CSS) == []
    assert re.findall(r"(?<![\w-])(?:min-|max-)?(?:width|height):", CSS) == []


def test_the_style_sheet_fetches_nothing() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_colours_stand_in_one_place() -> None:
    """Outside the custom properties only black and white occur: for the QR code, for paper, for a shadow."""
    rest = re.sub(r"--[\w-]+:\s*[^;]+;", "", CSS)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rest)) <= {"#fff", "#000"}


def test_icons_are_skipped_by_screen_readers() -> None:
    assert 'aria-hidden="true"' in icon("lock")
