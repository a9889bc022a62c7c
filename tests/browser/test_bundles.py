"""Two panels on a telephone, and a file that somebody carries from one to the other; with and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, ZONE, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.browser.offices import Office

pytestmark = pytest.mark.timeout(600)  # nodes, a browser and many pages on one slow machine

WORDS = "seven plain words for a stick"


def phone(browser: Browser, *, scripts: bool) -> Page:
    context = browser.new_context(
        viewport=PHONE, locale="en", timezone_id=ZONE, java_script_enabled=scripts, accept_downloads=True
    )
    return context.new_page()


def made(page: Page, office: Office, where: str, file: Path) -> None:
    """Press the button of one card, and keep what comes."""
    with page.expect_download() as coming:
        page.click(f"section#{where} button")
    assert coming.value.suggested_filename == "bundle.almb"
    coming.value.save_as(file)
    assert page.url == f"{office.url}/network/bundles"


def read(page: Page, name: str) -> int:
    return int(page.locator(f"#found dl div:has(dt:text-is('{name}')) dd").inner_text())


def no_wider_than_the_screen(page: Page) -> bool:
    return bool(page.locator("body").bounding_box()["width"] <= PHONE["width"])  # type: ignore[index] # there is a body


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_file_goes_from_panel_to_panel(
    browser: Browser, alpha: Office, beta: Office, case_at: Callable[..., Any], tmp_path: Path, scripts: bool
) -> None:
    giving, taking = phone(browser, scripts=scripts), phone(browser, scripts=scripts)
    sign_in(giving, alpha)
    sign_in(taking, beta)
    circle = next(one for one in alpha.ask("circle", "list")["circles"] if one["name"] == "c-andes")["circle_id"]
    alpha.ask("alert", "send", case_at(alpha, title="Carried"), "--circle", circle, "--yes")

    giving.goto(f"{alpha.url}/network")
    giving.click("a[href='/network/bundles']")
    expect(giving.locator("h1")).to_have_text("Carry alerts on a stick")
    assert no_wider_than_the_screen(giving)
    giving.select_option("#f-to", label="beta")
    made(giving, alpha, "one", tmp_path / "letter.almb")

    taking.goto(f"{beta.url}/network/bundles")
    taking.set_input_files("#f-file", tmp_path / "letter.almb")
    taking.click("section#import button")
    expect(taking.locator("#found")).to_contain_text("The whole file was taken in.")
    expect(taking.locator("#found")).to_contain_text("Made by")
    assert read(taking, "New here") + read(taking, "Known already") > 0
    assert no_wider_than_the_screen(taking)
    for page in (giving, taking):
        page.context.close()


def test_a_file_under_a_passphrase_and_what_goes_wrong_with_it(
    browser: Browser, alpha: Office, beta: Office, tmp_path: Path
) -> None:
    giving, taking = phone(browser, scripts=True), phone(browser, scripts=True)
    sign_in(giving, alpha)
    sign_in(taking, beta)
    file = tmp_path / "letter.almb"
    giving.goto(f"{alpha.url}/network/bundles")
    giving.fill("#f-passphrase", WORDS)
    giving.fill("#f-passphrase_again", WORDS + "x")
    giving.click("section#several button")
    expect(giving.locator("#f-passphrase_again-problem")).to_contain_text("The two passphrases are not the same.")
    giving.goto(f"{alpha.url}/network/bundles")
    giving.fill("#f-passphrase", WORDS)
    giving.fill("#f-passphrase_again", WORDS)
    made(giving, alpha, "several", file)

    taking.goto(f"{beta.url}/network/bundles")
    for words, said in (("", "needs the passphrase"), (WORDS.upper(), "does not open this file")):
        taking.set_input_files("#f-file", file)
        taking.fill("#f-file_passphrase", words)
        taking.click("section#import button")
        expect(taking.locator("#f-file_passphrase-problem")).to_contain_text(said)
    cut = tmp_path / "cut.almb"
    cut.write_bytes(file.read_bytes()[:-1000])
    taking.set_input_files("#f-file", cut)
    taking.fill("#f-file_passphrase", WORDS)
    taking.click("section#import button")
    expect(taking.locator("main")).to_contain_text("The file ends too early.")
    taking.set_input_files("#f-file", file)
    taking.fill("#f-file_passphrase", WORDS)
    taking.click("section#import button")
    expect(taking.locator("#found")).to_contain_text("The whole file was taken in.")
    for page in (giving, taking):
        page.context.close()
