"""What stands between other web pages and the panel, piece by piece."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from almenara.admin_ui.security import (
    CSP,
    HEADERS,
    check_origin,
    check_token,
    dress,
    new_token,
    visitor_cookie,
)
from almenara.admin_ui.views.language import _own_path
from almenara.node.api.keys import session_cookie
from almenara.node.problem import Problem

OURS = {"Host": "localhost:7780"}


def request(**headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", "/lock", headers={**OURS, **named})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:7781"},
        {"Origin": "http://localhost"},
        {"Origin": "file://localhost:7780"},
        {"Origin": "http://localhost:7780@evil.example"},
        {"Origin": "http://localhost:7780", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://localhost:7780", "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_a_request_of_another_page_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        check_origin(request(**headers))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:7780"},
        {"Origin": "http://localhost:7780", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
)
def test_a_request_of_our_own_page_passes(headers: dict[str, str]) -> None:
    check_origin(request(**headers))


@pytest.mark.parametrize(("given", "expected"), [(None, "a"), ("", "a"), ("b", "a"), ("", ""), ("é", "a"), ("a", "")])
def test_a_wrong_or_missing_form_token_is_refused(given: str | None, expected: str) -> None:
    with pytest.raises(Problem) as refused:
        check_token(given, expected)
    assert refused.value.status == 403


def test_the_right_form_token_passes() -> None:
    token = new_token()
    check_token(token, token)


def test_tokens_hold_256_bits() -> None:
    assert len(new_token()) == 43
    assert new_token() != new_token()


def test_the_policy_opens_nothing_but_the_node_itself() -> None:
    directives = dict(part.split(" ", maxsplit=1) for part in CSP.split("; "))
    assert directives["default-src"] == "'none'"
    assert set(directives.values()) <= {"'none'", "'self'"}
    assert directives["frame-ancestors"] == "'none'"
    assert directives["base-uri"] == "'none'"


def test_every_answer_is_dressed_and_never_stored() -> None:
    answer = web.Response()
    dress(answer)
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
    assert answer.headers["Cache-Control"] == "no-store"


def test_two_nodes_on_one_machine_do_not_share_cookies() -> None:
    """Browsers send cookies to every port of a host."""
    one = make_mocked_request("GET", "/", headers={"Host": "localhost:7780"})
    other = make_mocked_request("GET", "/", headers={"Host": "localhost:7781"})
    assert session_cookie(one) != session_cookie(other)
    assert visitor_cookie(one) != visitor_cookie(other)


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a\r\nb"])
def test_the_way_back_never_leads_elsewhere(path: str) -> None:
    assert _own_path(path) == "/"


def test_the_way_back_leads_back() -> None:
    assert _own_path("/network/peers/abc") == "/network/peers/abc"
