"""A real browser in front of real nodes. Debian's chromium; nothing is downloaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.offices import PASSWORD, PERSON, Office, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
ZONE = "America/Bogota"

CASE: dict[str, Any] = {
    "title": "Threats against the family of a land defender",
    "narrative": "Two men on a motorcycle came to the house of Maria Quispe.",
    "persons": [{"name": "Maria Quispe", "relation": "affected", "phone": "+57 300 555 0100"}],
    "threats": ["intimidation.death-threat", "intimidation.physical-surveillance"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "perpetrator": "nonstate.organised-crime",
    "target_unit": "family",
    "role": "indigenous-leader",
    "issue": "land-environment-climate",
    "requests": ["relocation.safe-house", "presence.accompaniment"],
    "place": {"country": "CO", "admin1": "CO-CAU", "lat": 2.4419, "lon": -76.6063, "locality": "Vereda La Esperanza"},
    "occurred_at": "2026-01-20T14:37-05:00",
    "consent": {"state": "share-network", "basis": "self", "recorded_on": "2026-01-20"},
}


expect.set_options(timeout=30_000)  # milliseconds; how long a page may take to show what it should, not a figure


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file; each test has a context of its own.

    Playwright keeps an event loop running in this thread, in which no asynchronous test of a later file could run.
    """
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The organisation at whose panel most tests sit."""
    with Office.open(tmp_path_factory.mktemp("alpha"), "alpha") as office:
        office.let_in(PERSON, "admin")
        yield office


@pytest.fixture(scope="session")
def beta(alpha: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Paired with alpha, and with it in the circle c-andes."""
    with Office.open(tmp_path_factory.mktemp("beta"), "beta") as office:
        office.let_in(PERSON, "admin")
        pair(alpha, office)
        join_circle(alpha, office, "c-andes", "network")
        yield office


def join_circle(steward: Office, member: Office, name: str, tier: str) -> str:
    """Found a circle and have another organisation join it; give its id."""
    circle = str(steward.ask("circle", "create", name, "--tier", tier)["circle_id"])
    steward.ask("circle", "invite", circle, member.ask("status")["node_id"])
    for _ in range(100):  # each question takes a while by itself
        if any(found["circle_id"] == circle for found in member.ask("circle", "list")["circles"]):
            member.ask("circle", "accept", circle)
            return circle
    raise AssertionError("the invitation to the circle did not come")


@pytest.fixture
def case_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Put a case into a node and give its id."""

    def add(office: Office, **changes: Any) -> str:
        file = tmp_path_factory.mktemp("case") / "case.json"
        file.write_text(json.dumps(CASE | changes), encoding="utf-8")
        return str(office.ask("case", "add", str(file))["case_id"])

    return add


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A phone, in English, with an empty cookie jar."""
    made = browser.new_context(viewport=PHONE, locale="en", timezone_id=ZONE)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """One tab of it."""
    return context.new_page()


def sign_in(page: Page, office: Office, name: str = PERSON) -> None:
    """Go through the door."""
    page.goto(f"{office.url}/sign-in")
    page.fill("#f-name", name)
    page.fill("#f-password", PASSWORD)
    page.click("main form button")
    page.wait_for_url(f"{office.url}/")
