"""Take the picture of the README: the send page on a phone, from two real nodes, with a case that is nobody's.

make screenshot        # needs Debian's chromium, as the browser tests do
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CASE, CHROMIUM, FLAGS, PHONE, ZONE, join_circle, sign_in
from tests.browser.offices import PERSON, Office, pair

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "send-phone.png"
SHOWN = {"width": PHONE["width"], "height": 1500}  # the page down to the exposure


def main() -> None:
    """Start two nodes, open the send page, take the picture."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Office.open(Path(folder), "Faro Norte") as north,
        Office.open(Path(folder), "Casa Ceiba") as south,
    ):
        north.let_in(PERSON, "admin")
        pair(north, south)
        circle = join_circle(north, south, "Andes early warning", "network")
        file = Path(folder) / "case.json"
        file.write_text(json.dumps(CASE), encoding="utf-8")
        case = north.ask("case", "add", str(file))["case_id"]
        take(north, f"/cases/{case}/send?circle={circle}")
    print(TARGET)


def take(office: Office, path: str) -> None:
    """Save what a phone would show of one page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport=SHOWN, device_scale_factor=2, locale="en", timezone_id=ZONE).new_page()
        sign_in(page, office)
        page.goto(office.url + path)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main()
