"""What a reader sees: codes the right way round, live changes, nothing run, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import APIResponse, Browser, Page, Route

    from tests.browser.offices import Office

pytestmark = pytest.mark.timeout(600)  # nodes, a browser and many pages on one slow machine

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)><svg onload=alert(1)>'
GROUP_PLACES = """bdi => {
  const text = bdi.firstChild, places = [];
  for (const match of text.data.matchAll(/\\d+/g)) {
    const range = document.createRange();
    range.setStart(text, match.index); range.setEnd(text, match.index + match[0].length);
    places.push(range.getBoundingClientRect().left);
  }
  return places;
}"""


def test_a_code_reads_in_the_same_order_in_arabic(browser: Browser, alpha: Office, beta: Office) -> None:
    """Left alone, a browser draws the three groups of digits backwards in an Arabic paragraph (measured)."""
    context = browser.new_context(viewport=PHONE, locale="ar")
    page = context.new_page()
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/network/peers/{beta.ask('status')['node_id']}")
    code = page.locator("bdi.code", has_text=re.compile(r"^\d{4} \d{4} \d{4}$")).first
    places = code.evaluate(GROUP_PLACES)
    assert len(places) == 3
    assert places == sorted(places)
    assert page.locator("html").get_attribute("dir") == "rtl"
    context.close()


def watched(page: Page, office: Office) -> list[str]:
    """Everything on this tab that should not happen."""
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(office.url) else wrong.append(f"request {asked.url}"))
    return wrong


def test_hostile_text_runs_nothing_and_reaches_nobody(
    page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    """In a real browser: no dialog, no violation of the policy, no request to anywhere but the node."""
    case = case_at(alpha, title=HOSTILE, narrative=HOSTILE, persons=[{"name": HOSTILE, "aliases": [HOSTILE]}])
    wrong = watched(page, alpha)
    sign_in(page, alpha)
    for path in ("/", "/cases", f"/cases/{case}", f"/cases/{case}/edit", f"/cases/{case}/send", f"/cases/{case}/sent"):
        page.goto(alpha.url + path)
        page.wait_for_timeout(100)
    assert wrong == []


def test_no_page_breaks_the_policy_or_asks_elsewhere(page: Page, alpha: Office, beta: Office) -> None:
    wrong = watched(page, alpha)
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/network/pair")
    page.click("text=Make an invitation")
    for path in ("/", "/inbox", "/cases/new", "/sent", "/network", "/settings", "/network/pair"):
        page.goto(alpha.url + path)
        page.wait_for_timeout(100)
    assert wrong == []


def test_an_open_inbox_shows_a_new_alert_by_itself_in_the_readers_language(
    browser: Browser, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    context = browser.new_context(viewport=PHONE, locale="es")
    page = context.new_page()
    sign_in(page, beta)
    page.goto(f"{beta.url}/inbox")
    before = page.locator(".list > li").count()
    circle = next(one for one in alpha.ask("circle", "list")["circles"] if one["name"] == "c-andes")["circle_id"]
    alpha.ask("alert", "send", case_at(alpha, threats=["legal.slapp"]), "--circle", circle, "--yes")
    expect(page.locator(".list > li")).to_have_count(before + 1)
    expect(page.locator("#announcement")).to_have_text("Llegó una alerta nueva.")
    expect(page.locator(".list > li").first).to_contain_text("Cauca, Colombia")
    page.locator(".list > li a").first.click()
    expect(page.locator("#facts")).to_contain_text("Gravedad")
    expect(page.locator("#behind")).to_contain_text("Verificada por ustedes")
    context.close()


def test_what_changes_while_a_part_is_being_fetched_is_shown_too(
    page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    """An answer made before a change may come after the news of it: the part has to ask once more."""
    sign_in(page, beta)
    page.goto(f"{beta.url}/inbox")
    before = page.locator(".list > li").count()
    under_way: list[tuple[Route, APIResponse]] = []
    page.route("**/inbox", lambda route: under_way.append((route, route.fetch())), times=1)
    page.evaluate("document.body.dispatchEvent(new CustomEvent('almenara-inbox'))")
    while not under_way:  # the answer has to be older than the change
        page.wait_for_timeout(10)
    circle = next(one for one in alpha.ask("circle", "list")["circles"] if one["name"] == "c-andes")["circle_id"]
    alpha.ask("alert", "send", case_at(alpha, threats=["legal.slapp"]), "--circle", circle, "--yes")
    expect(page.locator("#announcement")).not_to_be_empty()  # the news has come
    route, answer = under_way[0]
    route.fulfill(response=answer)
    expect(page.locator(".list > li")).to_have_count(before + 1)


def test_pages_leave_nothing_in_the_browsers_storage(page: Page, alpha: Office) -> None:
    sign_in(page, alpha)
    for path in ("/inbox", "/cases/new", "/network"):
        page.goto(alpha.url + path)
    page.wait_for_timeout(300)
    kept = page.evaluate("() => [localStorage.length, sessionStorage.length]")
    assert kept == [0, 0]
