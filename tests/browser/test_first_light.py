"""The whole way through two panels: first person, pairing, circle, case, preview, send, acknowledgement, reading."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, ZONE
from tests.browser.offices import CODE, PASSWORD, Office

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(600)  # nodes, a browser and many pages on one slow machine

TITLE = "Men on a motorcycle before the house"


def begin(page: Page, office: Office, person: str) -> None:
    """Type the printed code, a name and a password."""
    page.goto(office.url)
    page.fill("#f-code", office.first_code)
    page.fill("#f-name", person)
    page.fill("#f-password", PASSWORD)
    page.fill("#f-password_again", PASSWORD)
    page.click("main form button")
    page.wait_for_url(f"{office.url}/")


def pair_by_panel(inviting: Page, joining: Page, north: Office, south: Office) -> None:
    """Link on one side, use on the other, equal codes on both, confirmation on both."""
    inviting.goto(f"{north.url}/network/pair")
    inviting.click("text=Make an invitation")
    expect(inviting.locator(".qr svg")).to_be_visible()
    joining.goto(f"{south.url}/network/pair")
    joining.fill("#f-invitation", inviting.locator("#invitation").inner_text())
    joining.click("form[action='/network/pair'] button")
    code = joining.locator(".big-code bdi[dir=ltr]")
    expect(code).to_have_text(CODE)
    inviting.goto(north.url)
    inviting.click("text=Compare the code with south")
    assert inviting.locator(".big-code bdi[dir=ltr]").inner_text() == code.inner_text()
    inviting.click("text=Confirm: the code is the same")
    expect(inviting.locator("#trouble")).to_contain_text("Compare the code first, then tick the box.")
    for page in (inviting, joining):
        page.check("#f-compared")
        page.click("text=Confirm: the code is the same")
    for page in (inviting, joining):
        expect(page.locator(".page-head .badge", has_text="Verified")).to_be_visible()


def make_circle(inviting: Page, joining: Page, north: Office, south: Office) -> None:
    """Create, invite, accept."""
    inviting.goto(f"{north.url}/network/circles/new")
    inviting.fill("#f-name", "c-coast")
    inviting.check("#f-tier-network")
    inviting.click("text=Create the circle")
    inviting.click("section#invite button")
    joining.goto(south.url)
    joining.click("text=Invitation to the circle c-coast")
    joining.click("button:has-text('Join')")
    expect(joining.locator(".page-head .badge", has_text="Active")).to_be_visible()
    member = inviting.locator("tr", has_text="south")
    expect(member.locator(".badge", has_text="Active")).to_be_visible()
    assert member.locator("th").inner_text().split("\n") == ["south", "Organisation"]
    inviting.click("text=Remove a member")
    expect(inviting.locator("#f-remove")).to_have_value("")  # nobody goes by a press too many


def write_case(page: Page, office: Office) -> None:
    """Write on a phone; the draft saves itself, survives, and says what it still needs."""
    page.goto(f"{office.url}/cases/new")
    page.fill("[id='f-title']", TITLE)
    expect(page.locator("#saved")).to_contain_text("still missing")
    page.wait_for_url(re.compile(r"/cases/[0-9a-f-]{36}/edit"))
    page.goto(office.url)  # the phone locks, the page is gone
    page.click(f"text={TITLE}")
    page.click("text=Save the case")
    expect(page.locator("#missing")).to_contain_text("Country")
    expect(page.locator("[id='f-place.country-problem']")).to_contain_text("This is needed")
    page.select_option("[id='f-threats']", "intimidation.physical-surveillance")
    for name, code in (
        ("phase", "ongoing"),
        ("severity", "Severe"),
        ("urgency", "Immediate"),
        ("certainty", "Observed"),
        ("target_unit", "family"),
        ("place.country", "CO"),
        ("consent.state", "share-network"),
        ("consent.basis", "self"),
    ):
        page.select_option(f"[id='f-{name}']", code)
    page.fill("[id='f-place.admin1']", "cauca")
    page.click("text=Save the case")
    expect(page.locator(".notice.good")).to_contain_text("The case is saved and complete.")


def send(page: Page) -> None:
    """Two circles, what leaves beside what stays, one press; the page turns into the delivery view."""
    page.click("text=Preview and send")
    expect(page.locator("#why-not")).to_have_text("Choose at least one circle above.")
    page.get_by_label("c-coast").check()
    page.get_by_label("south").check()
    expect(page.locator("h2", has_text="For c-coast")).to_be_visible()
    expect(page.locator("h2", has_text="For south")).to_be_visible()
    leaves = page.locator(".leaves").first
    expect(leaves).to_contain_text("Cauca, Colombia")
    expect(page.locator(".stays").first).to_contain_text("Title")
    assert TITLE not in leaves.inner_text()
    page.click("text=Send to 1 organisation in 2 circles")
    page.wait_for_url(re.compile(r"/sent\?done=sent$"))
    expect(page.locator("tbody .badge", has_text="Stored")).to_have_count(2)


def new_page(browser: Browser, pages: list[Page], **settings: str) -> Page:
    """A phone of its own."""
    page = browser.new_context(viewport=PHONE, timezone_id=ZONE, locale=settings.get("locale", "en")).new_page()
    pages.append(page)
    return page


def test_two_organisations_meet_and_warn_each_other(browser: Browser, tmp_path: Path) -> None:
    """The case of issue 2, step 3, on phones, without a command line."""
    pages: list[Page] = []
    with Office.open(tmp_path, "north") as north, Office.open(tmp_path, "south") as south:
        inviting, joining = new_page(browser, pages), new_page(browser, pages)
        begin(inviting, north, "Lucía")
        begin(joining, south, "Amal")
        expect(inviting.locator("#first-steps")).to_contain_text("Pair with a first organisation")
        pair_by_panel(inviting, joining, north, south)
        make_circle(inviting, joining, north, south)
        joining.goto(f"{south.url}/inbox")
        expect(joining.locator(".empty-title")).to_have_text("No alerts yet")
        write_case(inviting, north)
        send(inviting)
        expect(joining.locator(".list > li")).to_have_count(2)  # the open page has changed by itself
        joining.click(".list > li >> nth=0 >> a")
        expect(joining.locator("h1")).to_have_text("Physical surveillance")
        expect(joining.locator("#behind")).to_contain_text("north")
    for page in pages:
        page.context.close()
