"""axe finds nothing, on every page, in two languages, light and dark, on a phone and on a desktop (WCAG 2.2 AA)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import CASE, DESKTOP, PHONE, ZONE, sign_in
from tests.browser.offices import ALMENARA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser.offices import Office

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LEAST_TARGET = 24  # CSS pixels, WCAG 2.2 §2.5.8

LOOKS = [
    ("en", "light", PHONE),
    ("ar", "dark", PHONE),
    ("ar", "light", DESKTOP),
    ("en", "dark", DESKTOP),
]

SMALL_TARGETS = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
  .filter(one => one.checkVisibility() && !one.closest('.skip, p, li li, dd, .problems') && !one.matches('.skip'))
  .map(one => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
  .filter(([, box]) => box.width < LEAST || box.height < LEAST).map(([html]) => html)"""


@pytest.fixture(scope="module")
def places(alpha: Office, beta: Office, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The address of every kind of page, with something on it."""
    file = tmp_path_factory.mktemp("cases") / "cases.jsonl"
    lines = [CASE, CASE | {"title": "Sent one"}, {"title": "A draft", "threats": ["no.such"], "extra": 1}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    ready, sent, draft = (one["case_id"] for one in _imported(alpha, file))
    circle = next(one for one in alpha.ask("circle", "list")["circles"] if one["name"] == "c-andes")["circle_id"]
    alert = alpha.ask("alert", "send", sent, "--circle", circle, "--status", "Exercise", "--yes")["alert_id"]
    peer = beta.ask("status")["node_id"]
    return [
        "/", "/inbox", f"/alerts/{alert}", "/cases", "/cases?state=closed", f"/cases/{ready}", f"/cases/{draft}",
        "/cases/new", f"/cases/{draft}/edit", f"/cases/{ready}/send", f"/cases/{ready}/send?circle={circle}",
        f"/cases/{sent}/sent?done=sent", "/sent", "/network", f"/network/peers/{peer}", "/network/pair",
        f"/network/circles/{circle}", "/network/circles/new", "/settings", "/settings/password", "/nowhere",
    ]  # fmt: skip


def _imported(office: Office, file: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [ALMENARA, "case", "import", str(file), "--home", str(office.home), "--json"], capture_output=True, check=False
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}-{look[2]['width']}")
def looked_at(request: pytest.FixtureRequest, browser: Browser, alpha: Office) -> Iterator[Page]:
    """A signed-in tab in one look."""
    language, scheme, size = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme, locale=language, timezone_id=ZONE)
    page = context.new_page()
    sign_in(page, alpha)
    yield page
    context.close()


def faults(page: Page) -> list[str]:
    """What axe finds; it goes in by evaluate, since the policy refuses a script tag."""
    page.evaluate(AXE)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


def test_axe_finds_nothing_on_any_page(looked_at: Page, alpha: Office, places: list[str]) -> None:
    found = {}
    for place in places:
        looked_at.goto(alpha.url + place)
        looked_at.evaluate(
            "() => document.querySelectorAll('details').forEach(one => { one.open = !one.matches('.menu') })"
        )
        if said := faults(looked_at):
            found[place] = said
    assert found == {}


def test_every_target_is_large_enough_for_a_thumb(looked_at: Page, alpha: Office, places: list[str]) -> None:
    found = {}
    for place in places:
        looked_at.goto(alpha.url + place)
        if small := looked_at.evaluate(SMALL_TARGETS.replace("LEAST", str(LEAST_TARGET))):
            found[place] = small
    assert found == {}


def test_no_page_is_wider_than_the_screen(looked_at: Page, alpha: Office, places: list[str]) -> None:
    wide = {}
    for place in places:
        looked_at.goto(alpha.url + place)
        over = looked_at.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wide[place] = over
    assert wide == {}


def test_every_page_has_one_heading_landmarks_and_a_skip_link(
    looked_at: Page, alpha: Office, places: list[str]
) -> None:
    for place in places:
        looked_at.goto(alpha.url + place)
        assert looked_at.locator("h1").count() == 1, place
        assert looked_at.locator("main").count() == 1, place
        assert looked_at.locator("header, nav").count() >= 2, place
        looked_at.keyboard.press("Tab")
        assert looked_at.evaluate("() => document.activeElement.getAttribute('href')") == "#main", place


def test_the_door_has_no_fault_either(browser: Browser, alpha: Office) -> None:
    for language, scheme, size in LOOKS:
        context = browser.new_context(viewport=size, color_scheme=scheme, locale=language)
        page = context.new_page()
        page.goto(f"{alpha.url}/sign-in")
        assert faults(page) == []
        page.click(".menu summary")
        assert faults(page) == []
        context.close()
