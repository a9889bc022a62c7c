"""Who asks the API: the local command line by its token, or a person by the panel's cookie (SCHEMAS §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from almenara.crypto.hashing import equal
from almenara.node.api.answers import refusal
from almenara.node.api.guards import READING
from almenara.node.api.keys import ACTOR, SERVICE, TOKEN, session_cookie
from almenara.node.people import LOCAL
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.api.guards import Handler
    from almenara.node.people import Actor

UNAUTHORISED = 401
EVENT_STREAM = "text/event-stream"
_SCHEME = "Bearer "


class Unauthorised(Problem):
    """Nobody said who asks, or what they said is not valid (any longer)."""

    def __init__(self) -> None:
        super().__init__(
            Kind.NOT_ALLOWED,
            N_("The request does not say who asks, or that is no longer valid."),
            field=hdrs.AUTHORIZATION,
            next=N_("Sign in to the panel, or use the token of run/local.json."),
        )

    @property
    def status(self) -> int:
        """RFC 9110 §15.5.2."""
        return UNAUTHORISED


@web.middleware
async def known_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the caller into the request, or none where there are no credentials; wrong ones are refused here."""
    try:
        request[ACTOR] = await _actor(request)
    except Problem as problem:
        return refusal(problem)
    return await handler(request)


def require(actor: Actor | None) -> Actor:
    """Raise `Unauthorised` for nobody."""
    if actor is None:
        raise Unauthorised
    return actor


async def _actor(request: web.Request) -> Actor | None:
    given = request.headers.get(hdrs.AUTHORIZATION)
    if given is not None:
        return _local(request, given)
    token = request.cookies.get(session_cookie(request))
    if token is None:
        return None
    # Every browser sends Origin with a change; a request that has the cookie but no Origin comes from something else.
    if request.method not in READING and hdrs.ORIGIN not in request.headers:
        raise Problem(Kind.NOT_ALLOWED, N_("The request came from another page."), field="Origin")
    stream = request.headers.get(hdrs.ACCEPT) == EVENT_STREAM  # it comes again by itself, with nobody at the screen
    session = await request.config_dict[SERVICE].session(token, touch=not stream)
    if session is None:
        raise Unauthorised
    return session.actor


def _local(request: web.Request, given: str) -> Actor:
    """Raise unless this is the token of run/local.json, and nothing that a browser would add is there."""
    if hdrs.COOKIE in request.headers or hdrs.ORIGIN in request.headers:
        raise Problem(Kind.NOT_ALLOWED, N_("The token is for programs; a browser may not use it."), field="Origin")
    token = request.config_dict[TOKEN]
    if not equal(given.encode(errors="replace"), (_SCHEME + token).encode()):
        raise Unauthorised
    return LOCAL
