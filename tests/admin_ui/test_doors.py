"""Who gets in, who does not, and what every answer carries: against a real node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from almenara.admin_ui.app import ROUTES
from almenara.admin_ui.security import CSP
from almenara.admin_ui.visit import Who
from tests.admin_ui.conftest import PASSWORD
from tests.support.nodes import PASSPHRASE

if TYPE_CHECKING:
    import aiohttp

    from almenara.node.people import SignedIn
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILLED = {
    "case_id": "0b5e6f5e-3b1c-4a53-9f3e-2f6e3d0c8a11",
    "circle_id": "0b5e6f5e-3b1c-4a53-9f3e-2f6e3d0c8a11",
    "alert_id": "0b5e6f5e-3b1c-4a53-9f3e-2f6e3d0c8a11",
    "node_id": "a" * 56,
    "name:.+": "almenara.css",
    "path:.*": "nowhere",
}


def address(path: str) -> str:
    """A path with something in place of its names."""
    return re.sub(r"\{([^}]+)\}", lambda found: FILLED[found[1]], path)


CHANGING = sorted({address(route.path) for route in ROUTES if route.method == "POST"})
PAGES = sorted({address(route.path) for route in ROUTES if route.method == "GET"} - {"/events"})


async def test_no_changing_route_acts_without_the_form_token(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for path in CHANGING:
        for token in ("", "A" * 43):
            status, _, _ = await visitor.post(path, {"csrf": token})
            assert status == 403, path
    assert not panel.service.locked


async def test_no_changing_route_acts_for_another_page(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for path in CHANGING:
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
            status, _, _ = await visitor.post(path, **headers)
            assert status == 403, (path, headers)
    assert not panel.service.locked


async def test_no_changing_route_takes_a_token_from_the_address(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for path in CHANGING:
        status, _, _ = await visitor.post(f"{path}?csrf={visitor.token}", {"csrf": ""})
        assert status == 403, path


async def test_a_token_of_one_session_is_worth_nothing_in_another(panel: Panel) -> None:
    one, other = await panel.person("admin"), await panel.person("admin")
    assert one.token != other.token
    status, _, _ = await one.post("/lock", {"csrf": other.token})
    assert status == 403


async def test_every_page_sends_strangers_to_the_door(panel: Panel) -> None:
    await panel.person("admin")
    open_to_all = {address(route.path) for route in ROUTES if route.who in {Who.ANYBODY, Who.STRANGER}}
    visitor = panel.visitor()
    for path in [*PAGES, "/events"]:
        if path not in open_to_all:
            status, _, headers = await visitor.get(path)
            assert (status, headers.get("Location")) == (303, "/sign-in"), path


async def test_another_host_name_is_refused_on_every_page(panel: Panel) -> None:
    """A name that was rebound to loopback gets nothing (DNS rebinding)."""
    visitor = await panel.person("admin")
    for path in [*PAGES, "/events"]:
        status, text, _ = await visitor.get(path, Host="evil.example")
        assert status == 421, path
        assert "<html" not in text


async def test_every_answer_carries_the_headers_and_is_not_stored(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for path in PAGES:
        _, _, headers = await visitor.get(path)
        assert headers["Content-Security-Policy"] == CSP, path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert path.startswith("/static/") or headers["Cache-Control"] == "no-store", path
        assert "Server" not in headers


async def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(panel: Panel) -> None:
    await panel.person("admin")
    visitor = panel.visitor()
    await visitor.get("/sign-in")
    _, _, headers = await visitor.post("/sign-in", {"name": "admin", "password": PASSWORD})
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("almenara_session_")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


async def test_a_wrong_password_says_neither_which_nor_why(panel: Panel) -> None:
    await panel.person("admin")
    answers = set()
    for name in ("admin", "nobody"):
        visitor = panel.visitor()
        await visitor.get("/sign-in")
        status, text, _ = await visitor.post("/sign-in", {"name": name, "password": "not this one at all"})
        assert status == 403
        answers.add(re.search(r'id="trouble">.*?</div>\n</div>', text, re.DOTALL)[0])  # type: ignore[index]
    assert len(answers) == 1


async def test_the_first_person_needs_the_printed_code(new_panel: Panel) -> None:
    visitor = new_panel.visitor()
    _, _, headers = await visitor.get("/")
    assert headers["Location"] == "/first-run"
    await visitor.get("/first-run")
    fields = {"name": "Lucía", "password": PASSWORD, "password_again": PASSWORD}
    status, text, _ = await visitor.post("/first-run", {**fields, "code": "0000 0000 0000"})
    assert status == 403
    assert 'value="Lucía"' in text
    assert PASSWORD not in text
    assert new_panel.service.first_code is not None
    status, _, _ = await visitor.post("/first-run", {**fields, "code": new_panel.service.first_code.code})
    assert status == 303
    status, _, _ = await visitor.get("/")
    assert status == 200
    status, _, headers = await new_panel.visitor().get("/first-run")
    assert (status, headers["Location"]) == (303, "/sign-in")


async def test_lock_closes_everything_and_only_the_passphrase_opens_it(new_panel: Panel) -> None:
    visitor = await new_panel.person("admin")
    status, _, headers = await visitor.post("/lock")
    assert (status, headers["Location"]) == (303, "/unlock")
    assert new_panel.service.locked
    for path in ("/", "/inbox", "/cases", "/sign-in", "/events"):
        _, _, headers = await visitor.get(path)
        assert headers["Location"] == "/unlock", path
    await visitor.get("/unlock")
    status, text, _ = await visitor.post("/unlock", {"passphrase": "not the passphrase"})
    assert status == 403
    assert "The passphrase is wrong" in text
    status, _, _ = await visitor.post("/unlock", {"passphrase": PASSPHRASE})
    assert status == 303
    _, _, headers = await visitor.get("/")
    assert headers["Location"] == "/sign-in"


async def test_leaving_quickly_ends_the_session_and_tells_nothing(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    status, _, headers = await visitor.post("/leave")
    assert (status, headers["Location"]) == (303, "/away")
    assert headers["Clear-Site-Data"] == '"cache", "storage"'
    _, text, _ = await visitor.get("/away")
    assert "almenara" not in text
    _, _, headers = await visitor.get("/cases")
    assert headers["Location"] == "/sign-in"


@pytest.mark.parametrize(
    ("role", "closed"),
    [
        ("viewer", ["/cases", "/cases/new", "/network", "/network/pair", "/network/circles/new"]),
        ("case worker", ["/network/pair", "/network/circles/new"]),
    ],
)
async def test_a_role_sees_its_places_only(panel: Panel, role: str, closed: list[str]) -> None:
    visitor = await panel.person(role)  # type: ignore[arg-type]
    for path in closed:
        status, text, _ = await visitor.get(path)
        assert status == 403, path
        assert "Your role does not include this." in text
    status, text, _ = await visitor.get("/")
    assert status == 200
    assert ('href="/cases"' in text) == (role != "viewer")


async def test_a_page_that_refreshes_itself_does_not_keep_its_session_alive(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await panel.person("admin")
    real, asked = panel.service.session, []

    async def session(token: str, *, touch: bool = True) -> SignedIn | None:
        asked.append(touch)
        return await real(token, touch=touch)

    monkeypatch.setattr(panel.service, "session", session)
    await visitor.get("/inbox")
    await visitor.get("/inbox", HX_Request="true")
    await visitor.get("/inbox", Accept="text/event-stream")
    assert asked == [True, False, False]


async def test_a_page_that_refreshes_itself_is_led_to_sign_in_when_its_session_has_ended(panel: Panel) -> None:
    visitor = await panel.person("admin")
    visitor.cookies = dict.fromkeys(visitor.cookies, "ended")
    _, _, headers = await visitor.get("/inbox", HX_Request="true")
    assert headers["HX-Redirect"] == "/sign-in"


async def test_the_event_stream_tells_what_changed_and_ends_with_the_session(panel: Panel) -> None:
    visitor = await panel.person("admin")
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    headers = {"Cookie": cookies, "Accept": "text/event-stream"}
    async with panel.http.get(f"{panel.url}/events", headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        panel.service.events.publish("inbox", "some-id")
        seen = await _until(stream, b"event: inbox")
        assert b'data: "some-id"' in seen
        await visitor.post("/sign-out")
        panel.service.events.publish("peers")
        await _until(stream, b"event: ended")


async def _until(stream: aiohttp.ClientResponse, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen or not seen.endswith(b"\n\n"):
        part = await stream.content.readany()
        assert part, "the stream ended"
        seen += part
    return seen


async def test_a_page_that_missed_a_change_is_told_when_it_connects(panel: Panel) -> None:
    visitor = await panel.person("admin")
    _, text, _ = await visitor.get("/inbox")
    seen = re.search(r'data-seen="(\d+)"', text)
    assert seen is not None
    panel.service.events.publish("inbox", "between")
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}
    async with panel.http.get(f"{panel.url}/events?after={seen[1]}", headers=headers) as stream:
        await _until(stream, b'data: "between"')


async def test_an_address_that_leads_nowhere_says_so_in_the_readers_language(panel: Panel) -> None:
    visitor = await panel.person("admin")
    status, text, _ = await visitor.get("/no/such/page", Accept_Language="fr")
    assert status == 404
    assert "Cela n’existe pas ici" in text


async def test_the_language_is_kept_and_mirrors_the_page(panel: Panel) -> None:
    visitor = await panel.person("admin")
    status, _, headers = await visitor.post("/language", {"language": "ar", "back": "/settings"})
    assert (status, headers["Location"]) == (303, "/settings")
    _, text, _ = await visitor.get("/settings")
    assert '<html lang="ar" dir="rtl">' in text


async def test_a_fault_of_ours_is_a_page_with_an_id_and_tells_no_more(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something confidential")

    visitor = await panel.person("admin")
    monkeypatch.setattr(panel.service, "recent", broken)
    status, text, _ = await visitor.get("/inbox")
    assert status == 500
    assert "This is our fault" in text
    assert re.search(r'class="code">[0-9a-f]{12}<', text)
    assert "confidential" not in text


async def test_the_api_keeps_its_own_addresses_and_its_own_form(panel: Panel) -> None:
    """The panel takes every address that nobody else has, and none of the API's."""
    visitor = await panel.person("admin")
    for path in ("/api/v1/nothing", "/api/v1/openapi.json"):
        _, text, headers = await visitor.get(path)
        assert "json" in headers["Content-Type"]
        assert "<html" not in text
