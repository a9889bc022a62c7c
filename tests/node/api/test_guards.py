"""Who may ask: every route against every way in which another page or program could try."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.api.app import ROUTES
from almenara.node.api.guards import allowed_hosts, host_of
from almenara.node.api.keys import API

if TYPE_CHECKING:
    from almenara.node.api.route import Route

CHANGING = [route for route in ROUTES if route.method != "GET"]
CLOSED = [route for route in ROUTES if not route.open]
EVIL = "http://evil.example"
BODIES: dict[str, dict[str, Any]] = {
    "/peers": {"invitation": "almenara:x"},
    "/discovery": {"minutes": 10},
    "/circles": {"name": "c-andes", "tier": "network"},
    "/cases": {"title": "t"},
    "/alerts/preview": {"case_id": "k", "circle_id": "c"},
    "/alerts": {"case_id": "k", "circle_id": "c", "body_sha256": "0" * 64, "statement": "s"},
    "/carrying/{node_id}": {"quota_mb": 200},
    "/bundles/export": {"to": "n"},
    "/people": {"name": "Amina", "role": "viewer", "password": "correct horse battery"},
}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def url(route: Route) -> str:
    return API + re.sub(r"{\w+}", "x", route.path)


async def ask(client: Any, route: Route, headers: dict[str, str]) -> Any:
    if route.streams:
        kind = {"Content-Type": "application/octet-stream"}
        return await client.request(route.method, url(route), data=b"a file", headers=headers | kind)
    body = BODIES.get(route.path) if route.takes or route.document else None
    return await client.request(route.method, url(route), json=body, headers=headers)


def test_there_are_routes_to_test() -> None:
    assert len(CHANGING) >= 13
    assert {route.path for route in ROUTES if route.open} == {
        "/status", "/schemas/case", "/schemas/alert", "/openapi.json"
    }  # fmt: skip


@pytest.mark.parametrize("route", CHANGING, ids=named)
async def test_a_change_with_the_token_is_done(route: Route, client: Any, service: Any, local: Any) -> None:
    """The refusals below mean something only because the same request without the fault goes through."""
    response = await ask(client, route, local)
    assert response.status == route.status
    assert len(service.asked) == 1


@pytest.mark.parametrize("route", CLOSED, ids=named)
async def test_without_credentials_is_refused(route: Route, client: Any, service: Any) -> None:
    response = await ask(client, route, {})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert not service.asked


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_wrong_credentials_are_refused(route: Route, client: Any, service: Any, local: Any) -> None:
    """Wrong is worse than none: open routes refuse it too."""
    _, token = local["Authorization"].split()
    for headers in (
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": token},
        {"Authorization": f"Basic {token}"},
        {"Cookie": f"almenara_session_{client.port}=ended", "Origin": f"http://127.0.0.1:{client.port}"},
    ):
        assert (await ask(client, route, headers)).status == 401
    assert not service.asked


@pytest.mark.parametrize("route", CHANGING, ids=named)
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "file://", "", "https://evil.example\x40x"])
async def test_a_foreign_origin_is_refused(
    route: Route, origin: str, client: Any, service: Any, local: Any, cookie: Any
) -> None:
    for headers in (cookie, local, {}):
        assert (await ask(client, route, headers | {"Origin": origin})).status == 403
    assert not service.asked


@pytest.mark.parametrize("route", CHANGING, ids=named)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_the_browser_calls_foreign_is_refused(
    route: Route, site: str, client: Any, service: Any, cookie: Any
) -> None:
    headers = cookie | {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": site}
    assert (await ask(client, route, headers)).status == 403
    assert not service.asked


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_the_token_with_a_cookie_or_origin_is_refused(
    route: Route, client: Any, service: Any, local: Any, cookie: Any
) -> None:
    """The token belongs to programs; if a browser ever carries it, something is wrong."""
    own = f"http://127.0.0.1:{client.port}"
    for extra in (cookie, {"Cookie": "other=1"}, {"Origin": own}):
        assert (await ask(client, route, local | extra)).status == 403
    assert not service.asked


@pytest.mark.parametrize("route", CHANGING, ids=named)
async def test_a_cookie_needs_our_origin(route: Route, client: Any, service: Any, cookie: Any) -> None:
    """The panel's cookie opens the API to our own page, and to nothing that leaves Origin out."""
    assert (await ask(client, route, cookie)).status == 403
    assert not service.asked
    response = await ask(client, route, cookie | {"Origin": f"http://127.0.0.1:{client.port}"})
    assert response.status == route.status
    assert service.asked[0][1][0].role == "case worker"


@pytest.mark.parametrize("route", ROUTES, ids=named)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7780", "127.0.0.1@evil.example", "", "[::2]"],
)
async def test_a_foreign_host_is_misdirected(route: Route, host: str, client: Any, service: Any, local: Any) -> None:
    """DNS rebinding: the page's name points to loopback, but its Host header still says whose page it is."""
    assert (await ask(client, route, local | {"Host": host})).status == 421
    assert not service.asked


async def test_a_foreign_host_is_misdirected_where_there_is_no_route(client: Any) -> None:
    assert (await client.get("/nowhere", headers={"Host": "evil.example"})).status == 421


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1:1", "[::1]:7780", "[::1]"])
async def test_our_own_names_are_answered(host: str, client: Any) -> None:
    assert (await client.get(f"{API}/status", headers={"Host": host})).status == 200


def test_configured_names_are_ours_and_a_wildcard_is_not() -> None:
    found = allowed_hosts("0.0.0.0", ["Panel.Example:7780", "fd00::1"])
    assert found == {"localhost", "127.0.0.1", "::1", "panel.example", "fd00::1"}
    assert "10.0.0.7" in allowed_hosts("10.0.0.7", [])


def test_what_is_no_authority_has_no_host() -> None:
    assert [host_of(text) for text in ("a:b", "a@b", "a/b", "a?b", "[::1", "")] == [None] * 6


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/nowhere", "/nowhere"])
async def test_every_answer_carries_the_security_headers(path: str, client: Any) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        response = await client.get(path, headers=headers)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "same-origin"
        assert "Server" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("route", [r for r in ROUTES if r.takes or r.document], ids=named)
async def test_a_body_that_a_form_could_send_is_refused(route: Route, client: Any, service: Any, local: Any) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        response = await client.request(
            route.method, url(route), data=b'{"title":"t"}', headers=local | {"Content-Type": kind}
        )
        assert response.status == 400
    response = await client.request(
        route.method, url(route), data=b"--x--", headers=local | {"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert response.status == 415
    assert not service.asked
