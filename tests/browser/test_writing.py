"""Writing and sending: with scripts and without, pressed twice, interrupted, left in a hurry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.browser.offices import Office


pytestmark = pytest.mark.timeout(600)  # nodes, a browser and many pages on one slow machine


def circle_of(office: Office, name: str) -> str:
    return str(next(one for one in office.ask("circle", "list")["circles"] if one["name"] == name)["circle_id"])


def test_everything_works_without_scripts(browser: Browser, alpha: Office, beta: Office) -> None:
    context = browser.new_context(viewport=PHONE, locale="en", java_script_enabled=False)
    page = context.new_page()
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/new")
    page.fill("[id='f-title']", "Without scripts")
    page.click("text=Add a person")
    page.fill("[id='f-persons.0.name']", "Somebody")
    for name, code in (
        ("threats", "legal.charges"), ("phase", "ongoing"), ("severity", "Minor"), ("urgency", "Future"),
        ("certainty", "Likely"), ("target_unit", "individual"), ("place.country", "KE"),
        ("consent.state", "share-network"), ("consent.basis", "self"),
    ):  # fmt: skip
        page.select_option(f"[id='f-{name}']", code)
    page.click("text=Save the case")
    expect(page.locator(".notice.good")).to_be_visible()
    page.click("text=Dismiss")
    expect(page.locator(".notice.good")).to_have_count(0)
    page.click("text=Preview and send")
    page.get_by_label("c-andes").check()
    page.select_option("#f-status", "Test")
    page.click("text=Show what leaves")
    expect(page.locator(".leaves")).to_contain_text("Kenya")
    page.click("text=Send to 1 organisation in 1 circle")
    expect(page.locator("h1")).to_have_text("How far it has come")
    expect(page.locator("tbody tr")).to_have_count(1)
    context.close()


def test_pressing_twice_sends_once(page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]) -> None:
    case, circle = case_at(alpha), circle_of(alpha, "c-andes")
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/{case}/send?circle={circle}")
    twice = """form => {
      const body = new URLSearchParams(new FormData(form));
      const send = () => fetch(form.action, {method: "POST", body}).then(answer => answer.url);
      return Promise.all([send(), send(), send()]);
    }"""
    for address in page.locator(".send-box").evaluate(twice):
        assert re.search(rf"/cases/{case}/sent\?done=sent$", address)
    assert len(alpha.ask("case", "show", case)["sent"]) == 1


def test_what_was_not_previewed_is_not_sent(
    page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    """Between preview and press the case changed: the page shows the preview again and says so."""
    case, circle = case_at(alpha), circle_of(alpha, "c-andes")
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/{case}/send?circle={circle}")
    other = page.context.new_page()
    other.goto(f"{alpha.url}/cases/{case}/edit")
    other.select_option("[id='f-severity']", "Extreme")
    other.click("text=Save the case")
    expect(other.locator(".notice.good")).to_be_visible()
    page.click("text=Send to 1 organisation in 1 circle")
    expect(page.locator("#trouble")).to_contain_text("Look at the preview again, then send.")
    expect(page.locator(".leaves")).to_contain_text("Extreme")
    assert alpha.ask("case", "show", case)["sent"] == []


def test_the_preview_names_everybody_and_shows_the_exact_bytes(
    page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    case, circle = case_at(alpha), circle_of(alpha, "c-andes")
    preview = alpha.ask("alert", "preview", case, "--circle", circle)
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/{case}/send?circle={circle}")
    page.click("text=Who exactly >> nth=0")
    expect(page.locator(".pick", has_text="c-andes").locator(".names")).to_contain_text("beta")
    page.click("text=The exact bytes, decoded")
    expect(page.locator(".leaves")).to_contain_text(preview["body_sha256"])
    shown = page.locator(".leaves pre").inner_text()
    assert '"CO-CAU"' in shown
    assert "Quispe" not in page.locator(".leaves").inner_text()
    expect(page.locator(".stays")).to_contain_text("People in this case")
    expect(page.locator(".figures")).to_contain_text("people live in the place that is shown")


def test_a_refusal_by_the_gate_leads_to_the_case_that_keeps_the_text(
    page: Page, alpha: Office, beta: Office, case_at: Callable[..., str]
) -> None:
    """Another case, a draft perhaps, may hold it: without its name nobody could go on."""
    case_at(alpha, title="Keeper of a number", identifiers=["KE-30"])
    case = case_at(alpha, place={"country": "KE", "admin1": "KE-30"})
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/{case}/send")
    page.locator(".pick", has_text="c-andes").get_by_text("The case that keeps it").click()
    expect(page.locator("h1")).to_have_text("Keeper of a number")


def test_a_form_outlives_the_end_of_its_session(page: Page, alpha: Office) -> None:
    """Signed out in another tab while writing: nothing typed is lost, and it saves after signing in again."""
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/new")
    other = page.context.new_page()
    other.goto(f"{alpha.url}/settings")
    other.click(".menu >> nth=0")
    other.click("text=Sign out")
    page.fill("[id='f-title']", "Written while signed out")
    expect(page.locator("#saved")).to_contain_text("Not saved: you were signed out.")
    sign_in(other, alpha)
    page.fill("[id='f-narrative']", "and on")
    expect(page.locator("#saved")).to_contain_text("It is in order again")
    page.fill("[id='f-narrative']", "and on and on")
    expect(page.locator("#saved")).to_contain_text("Saved here")
    other.goto(f"{alpha.url}/cases?state=draft")
    expect(other.locator("main")).to_contain_text("Written while signed out")


def test_leaving_quickly_leaves_no_page_to_go_back_to(page: Page, alpha: Office, case_at: Callable[..., str]) -> None:
    case = case_at(alpha, title="Leave this")
    sign_in(page, alpha)
    page.goto(f"{alpha.url}/cases/{case}")
    page.click("text=Leave quickly")
    page.wait_for_url(f"{alpha.url}/away")
    assert page.title() == "Blank page"
    page.go_back()
    page.reload()
    assert "Leave this" not in page.content()
