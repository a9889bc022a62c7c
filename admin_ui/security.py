"""What stands between other web pages and this panel: cookies, the form token, the Origin check, headers.

A request that changes something must pass all of it: the session cookie is SameSite=Strict, Origin (or
Sec-Fetch-Site) must be ours, and the form token must fit the session. The Host allow-list stands before routing, in
the API server.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from aiohttp import web

SAFE_METHODS = frozenset({"GET", "HEAD"})
FORM_FIELD = "csrf"
FORM_HEADER = "X-CSRF-Token"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
    # Not no-referrer: with it browsers send `Origin: null` on our own forms (Fetch §4.1), and the check below refuses.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def dress(answer: web.StreamResponse) -> None:
    """Put the headers on an answer; what it set itself about caching stays."""
    for name, value in HEADERS.items():
        if name != "Cache-Control" or name not in answer.headers:
            answer.headers[name] = value


def check_origin(request: web.Request) -> None:
    """Raises `Problem(NOT_ALLOWED)` unless a page of this very panel sent the request."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is not None:
        ours = urlsplit(origin).netloc == request.host and urlsplit(origin).scheme in {"http", "https"}
    else:
        ours = site == "same-origin"
    if not ours or site not in {None, "same-origin"}:
        raise Problem(Kind.NOT_ALLOWED, N_("This request came from another web page."))


def check_token(given: str | None, expected: str) -> None:
    """Raises `Problem(NOT_ALLOWED)` unless the form token is the one this browser was given."""
    if not given or not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Problem(
            Kind.NOT_ALLOWED,
            N_("This page was open for too long."),
            next=N_("Load the page again, then repeat the last step."),
        )


def new_token() -> str:
    """Give 256 random bits as text."""
    return secrets.token_urlsafe(32)


def visitor_cookie(request: web.Request) -> str:
    """Name of the cookie that holds the form token of somebody who has not signed in."""
    return f"almenara_visitor_{_port(request)}"


def keep(answer: web.StreamResponse, name: str, value: str, *, secure: bool, max_age: int | None = None) -> None:
    """Set a cookie that no script reads and no other site sends."""
    answer.set_cookie(name, value, httponly=True, samesite="Strict", secure=secure, path="/", max_age=max_age)


def _port(request: web.Request) -> int:
    return urlsplit(f"//{request.host}").port or 0
