"""The process: one per home, says what is wrong with an exit code, loses nothing to kill -9, leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from almenara.admin_ui.app import ROUTES as PANEL_ROUTES
from almenara.node.api.app import ROUTES as API_ROUTES
from almenara.node.api.keys import API
from almenara.node.config import load_config
from almenara.node.home import Home
from tests.support.processes import Office

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 3
FOREIGN = "http://evil.example"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="almenara-process-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def office(folder: Path) -> Iterator[Office]:
    """A node that runs."""
    opened = Office(folder, "alpha")
    opened.found()
    opened.start()
    try:
        opened.ready()
        yield opened
    finally:
        opened.stop()


# one home, one node


def test_a_second_node_on_the_same_home_refuses_to_start(office: Office) -> None:
    code, kind = office.problem("run", "--passphrase-file", str(office.secret))
    assert (code, kind) == (1, "home-in-use")
    assert office.ask("GET", "status")["state"] == "ready"


def test_a_wrong_passphrase_says_so(folder: Path) -> None:
    other = Office(folder, "locked-out")
    other.found()
    other.secret.write_text("not the passphrase at all", encoding="utf-8")
    code, kind = other.problem("run", "--passphrase-file", str(other.secret))
    assert (code, kind) == (1, "wrong-passphrase")
    assert sorted(path.name for path in (other.home / "run").iterdir()) == []


def test_status_exits_3_until_the_node_is_ready_and_a_stop_leaves_nothing(folder: Path) -> None:
    """Not started, starting, ready, stopped: 3, 3, 0, 3; afterwards no process and no word of how to reach one."""
    other = Office(folder, "coming")
    other.found()
    assert other.run("status", "--json")[0] == 3
    other.start()
    assert other.run("status", "--json")[0] in {0, 3}
    other.ready()
    assert other.run("status", "--json")[0] == 0
    assert other.stop(signal.SIGTERM) == 0
    assert other.run("status", "--json")[0] == 3
    assert [path.name for path in (other.home / "run").iterdir()] == []
    listening = load_config(Home(other.home)).panel.listen.rpartition(":")[2]
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", int(listening)).connect()


def test_without_a_passphrase_the_node_starts_locked_and_gives_nothing_away(folder: Path) -> None:
    other = Office(folder, "closed")
    other.found()
    other.start("--json")
    try:
        status = other.ready("locked")
        assert "node_id" not in status
        for words in (["inbox"], ["peers"], ["case", "list"], ["invite"]):
            assert other.problem(*words) == (1, "locked")
        assert not (other.home / "data.db").exists()
    finally:
        assert other.stop() == 0


# the door of panel and API


def _routes() -> list[tuple[str, str]]:
    found = [(route.method, API + route.path) for route in API_ROUTES]
    found += [(route.method, route.path) for route in PANEL_ROUTES]
    return [(method if method != "*" else "GET", re.sub(r"\{[^}]*\}", "x", path)) for method, path in found]


def _answer(office: Office, method: str, path: str, **headers: str) -> int:
    local = json.loads((office.home / "run" / "local.json").read_text(encoding="utf-8"))
    at = urlsplit(local["url"])
    told = {"Host": at.netloc, "Authorization": f"Bearer {local['token']}"} | headers
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in told.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_every_route_answers_421_to_a_name_that_is_not_ours(office: Office, host: str) -> None:
    """Panel and API, with the right token: a page whose name was bound to this machine learns nothing."""
    routes = _routes()
    assert len(routes) > 40
    wrong = {(method, path): _answer(office, method, path, Host=host) for method, path in routes}
    assert {route: status for route, status in wrong.items() if status != 421} == {}


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost:1"])
def test_every_route_that_changes_something_refuses_a_foreign_page(office: Office, origin: str) -> None:
    """Forms and scripts of other pages, with the right token: 403, and nothing changes."""
    before = office.ask("GET", "circles")
    changing = [(method, path) for method, path in _routes() if method not in {"GET", "HEAD"}]
    assert len(changing) > 20
    told = {(method, path): _answer(office, method, path, Origin=origin) for method, path in changing}
    assert {route: status for route, status in told.items() if status != 403} == {}
    told = {route: _answer(office, *route, **{"Sec-Fetch-Site": "cross-site"}) for route in changing}
    assert {route: status for route, status in told.items() if status != 403} == {}
    assert office.ask("GET", "circles") == before
