"""One request as a view sees it: who asks, in which language, and how to answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from almenara.admin_ui import words
from almenara.admin_ui.i18n import LANGUAGES
from almenara.admin_ui.render import render
from almenara.admin_ui.states import ALERT, PEER_KIND
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from almenara.admin_ui.memory import Memory
    from almenara.admin_ui.reader import Reader
    from almenara.node.people import Actor, SignedIn
    from almenara.node.service import Service

Form = MultiDictProxy[str]

HTMX_SETTINGS = json.dumps(
    {
        "includeIndicatorStyles": False,  # an inline style, which the CSP refuses
        "allowEval": False,
        "allowScriptTags": False,
        "selfRequestsOnly": True,
        "historyEnabled": False,  # neither pages nor addresses go into the browser's storage
        "historyCacheSize": 0,
    }
)


class Who(Enum):
    """Whom a route is for."""

    ANYBODY = "anybody"  # also while the node is locked
    STRANGER = "stranger"  # the node is open, nobody need have signed in
    PERSON = "person"
    CASE_WORKER = "case worker"  # or admin
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request, the service and the reader."""

    request: web.Request
    service: Service
    memory: Memory
    reader: Reader
    signed_in: SignedIn | None
    csrf: str
    seen: int  # number of the newest change before anything was read for this page
    form: Form = field(default_factory=lambda: MultiDictProxy(MultiDict()))
    file: AsyncIterator[bytes] | None = None  # where the route takes one

    @property
    def actor(self) -> Actor:
        """Who has signed in. Raises `Problem(NOT_ALLOWED)` when nobody has."""
        if self.signed_in is None:
            raise Problem(Kind.NOT_ALLOWED)
        return self.signed_in.actor

    @property
    def role(self) -> str:
        """The role of who has signed in, or nothing."""
        return self.signed_in.actor.role if self.signed_in else ""

    @property
    def path(self) -> str:
        """The page the reader sees: after a form that was refused, the one it was sent from."""
        if self.request.method == "GET":
            return self.request.path
        return urlsplit(self.request.headers.get("Referer", "/")).path or "/"

    @property
    def by_htmx(self) -> bool:
        """Whether a page that is already open asks for a part of itself."""
        return self.request.headers.get("HX-Request") == "true"

    def text(self, name: str) -> str:
        """One field of the form, without the spaces around it."""
        return self.form.get(name, "").strip()

    def page(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Answer with a page."""
        done = words.DONE.get(self.request.query.get("done", ""))
        text = render(
            template,
            **{
                "_": self.reader.say,
                "ngettext": self.reader.say_many,
                "reader": self.reader,
                "visit": self,
                "csrf": self.csrf,
                "role": self.role,
                "person": self.signed_in.actor.name if self.signed_in else "",
                "node_name": self.service.config.node.name,
                "path": self.path,
                "here": "",
                "roles": words.ROLES,
                "alert_states": ALERT,
                "peer_kinds": PEER_KIND,
                "languages": LANGUAGES,
                "htmx_settings": HTMX_SETTINGS,
                "htmx_headers": json.dumps({"X-CSRF-Token": self.csrf}),
                "done": done,
                "problem": None,
                **values,
            },
        )
        return web.Response(text=text, status=status, content_type="text/html")

    @staticmethod
    def go(path: str, done: str = "") -> web.Response:
        """Send the browser to another page of ours, with a word of success."""
        address = f"{path}?done={done}" if done else path
        return web.Response(status=303, headers={"Location": address})


View = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """One address, its view, and whom it is for."""

    method: str
    path: str
    view: View
    who: Who = Who.PERSON
    upload: bool = False  # its form brings a file, which the view reads as it comes
