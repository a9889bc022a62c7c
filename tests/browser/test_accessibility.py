"""axe finds nothing, on every page, in two languages, light and dark, on a phone and on a desktop (WCAG 2.2 AA)."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import CASE, DESKTOP, PHONE, ZONE, sign_in
from tests.browser.offices import ALMENARA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser.offices import Office

pytestmark = pytest.mark.timeout(600)  # nodes, a browser and many pages on one slow machine

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LEAST_TARGET = 24  # CSS pixels, WCAG 2.2 §2.5.8

LOOKS = [
    ("en", "light", PHONE),
    ("ar", "dark", PHONE),
    ("ar", "light", DESKTOP),
    ("en", "dark", DESKTOP),
]

SMALL_TARGETS = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary')]
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
    carried = _carried(alpha, beta)
    return [
        "/", "/inbox", f"/alerts/{alert}", "/cases", "/cases?state=closed", f"/cases/{ready}", f"/cases/{draft}",
        "/cases/new", f"/cases/{draft}/edit", f"/cases/{ready}/send", f"/cases/{ready}/send?circle={circle}",
        f"/cases/{sent}/sent?done=sent", "/sent", "/network", f"/network/peers/{peer}", "/network/pair",
        f"/network/circles/{circle}", f"/network/circles/{carried}", "/network/circles/new", "/network/bundles",
        "/settings", "/settings/password", "/nowhere",
    ]  # fmt: skip


def _carried(alpha: Office, beta: Office) -> str:
    """Each asks the other to carry; returns the circle of alpha's that beta carries."""
    for one, other in ((beta, alpha), (alpha, beta)):
        circle: str = one.ask("circle", "create", f"c-{one.name}", "--tier", "network")["circle_id"]
        one.ask("circle", "carriers", circle, "--add", other.ask("status")["node_id"])
    assert any(alpha.ask("peers", "carrying")["carrying"] for _ in range(60)), "alpha heard what beta asked"
    return circle


def _imported(office: Office, file: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [ALMENARA, "case", "import", str(file), "--home", str(office.home), "--json"], capture_output=True, check=False
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


@dataclass(frozen=True)
class Seen:
    """What one page showed in one look."""

    faults: list[str]
    small: list[str]
    overhang: int
    headings: int
    mains: int
    landmarks: int
    first_stop: str


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}-{look[2]['width']}")
def seen(
    request: pytest.FixtureRequest, browser: Browser, alpha: Office, places: list[str]
) -> Iterator[dict[str, Seen]]:
    """Every page, visited once in one look by somebody who has signed in."""
    language, scheme, size = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme, locale=language, timezone_id=ZONE)
    page = context.new_page()
    sign_in(page, alpha)
    yield {place: look_at(page, alpha.url + place) for place in places}
    context.close()


def look_at(page: Page, address: str) -> Seen:
    """Load one page, first as it comes, then with everything unfolded for axe."""
    page.goto(address)
    small = page.evaluate(SMALL_TARGETS.replace("LEAST", str(LEAST_TARGET)))
    overhang = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.evaluate("() => document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true })")
    found = faults(page)
    page.keyboard.press("Tab")  # last: the skip link, once it has the focus, lies over the page
    return Seen(
        faults=found,
        small=small,
        overhang=overhang,
        headings=page.locator("h1").count(),
        mains=page.locator("main").count(),
        landmarks=page.locator("header, nav").count(),
        first_stop=page.evaluate("() => document.activeElement.getAttribute('href') || ''"),
    )


def faults(page: Page) -> list[str]:
    """What axe finds; it goes in by evaluate, since the policy refuses a script tag."""
    page.evaluate(AXE)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


def test_axe_finds_nothing_on_any_page(seen: dict[str, Seen]) -> None:
    assert {place: one.faults for place, one in seen.items() if one.faults} == {}


def test_every_target_is_large_enough_for_a_thumb(seen: dict[str, Seen]) -> None:
    assert {place: one.small for place, one in seen.items() if one.small} == {}


def test_no_page_is_wider_than_the_screen(seen: dict[str, Seen]) -> None:
    assert {place: one.overhang for place, one in seen.items() if one.overhang > 0} == {}


def test_every_page_has_one_heading_and_landmarks(seen: dict[str, Seen]) -> None:
    assert {place for place, one in seen.items() if (one.headings, one.mains) != (1, 1) or one.landmarks < 2} == set()


def test_the_first_stop_of_the_keyboard_skips_to_the_content(seen: dict[str, Seen]) -> None:
    assert {place: one.first_stop for place, one in seen.items() if one.first_stop != "#main"} == {}


def test_the_door_has_no_fault_either(browser: Browser, alpha: Office) -> None:
    for language, scheme, size in LOOKS:
        context = browser.new_context(viewport=size, color_scheme=scheme, locale=language)
        page = context.new_page()
        page.goto(f"{alpha.url}/sign-in")
        assert faults(page) == []
        page.click(".menu summary")
        assert faults(page) == []
        context.close()
