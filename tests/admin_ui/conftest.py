"""A real node and the real web server in front of it, in this process; requests as a browser would send them."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest_asyncio

from almenara.node.api.server import start
from almenara.node.config import load_config
from almenara.node.service import LOCAL
from tests.support.nodes import make_home, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import pytest

    from almenara.node.models import RoleName
    from almenara.node.service import Service

PASSWORD = "another few plain words"
TOKEN = re.compile(r'name="csrf" (?:id="form-token" )?value="([^"]+)"')


@dataclass
class Visitor:
    """One browser: it keeps cookies and sends Origin with forms, and does nothing else by itself."""

    http: aiohttp.ClientSession
    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    async def get(self, path: str, **headers: str) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers of a page."""
        return await self._send("GET", path, None, headers)

    async def post(
        self, path: str, fields: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send a form, with the token of the last page that had one."""
        sent = {"csrf": self.token, **(fields or {})}
        return await self._send("POST", path, sent, {"Origin": self.url, **headers})

    async def sign_in(self, name: str) -> None:
        """Go through the door."""
        await self.get("/sign-in")
        status, _, _ = await self.post("/sign-in", {"name": name, "password": PASSWORD})
        assert status == 303
        await self.get("/")

    async def _send(
        self, method: str, path: str, data: Any, headers: dict[str, str]
    ) -> tuple[int, str, Mapping[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.http.request(
            method, self.url + path, data=data, headers=named, allow_redirects=False
        ) as answer:
            text = await answer.text()
            for line in answer.headers.getall("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    self.cookies[name] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[name]
            if found := TOKEN.search(text):
                self.token = found[1]
            return answer.status, text, dict(answer.headers)


@dataclass
class Panel:
    """A running node with its panel."""

    service: Service
    url: str
    http: aiohttp.ClientSession
    known: set[str] = field(default_factory=set)

    def visitor(self) -> Visitor:
        """A browser that was never here."""
        return Visitor(self.http, self.url)

    async def person(self, role: RoleName) -> Visitor:
        """A browser in which somebody with this role has signed in."""
        if await self.service.needs_first_person():
            await self.service.add_person(LOCAL, "first", "admin", PASSWORD)
        if role not in {one.name for one in (await self.service.people(LOCAL)).people}:
            await self.service.add_person(LOCAL, role, role, PASSWORD)
        visitor = self.visitor()
        await visitor.sign_in(role)
        return visitor


@asynccontextmanager
async def opened(tmp_path: Any) -> AsyncIterator[Panel]:
    """A node with its panel on a free loopback port."""
    home = make_home(tmp_path / "home", "Faro Norte")
    async with running(home) as service:
        server = await start(service, load_config(home))
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
                yield Panel(service, server.url, http)
        finally:
            await server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def panel(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Panel]:
    """One for the tests of a file: opening a vault takes a second, on purpose."""
    async with opened(tmp_path_factory.mktemp("panel")) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def new_panel(tmp_path: Any) -> AsyncIterator[Panel]:
    """One that nobody has used."""
    async with opened(tmp_path) as one:
        yield one
