"""Five nodes as five machines: each in a network namespace of its own, with slow lines that die and part in two."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.config import load_config
from almenara.node.home import Home
from tests.support.mesh import CASE
from tests.support.namespaces import HUB_ADDRESS, Namespaces, enter, inside
from tests.support.processes import Office, circle_of, pair, send, wait
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

pytestmark = pytest.mark.timeout(400)  # five keys by Argon2id, and the machine may be busy

NODES, FIRST_PORT = 5, 7100
PAIRS = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (3, 4)]
SIDE = (0, 1)  # whom the others lose sight of


@dataclass
class Tower(Office):
    """A node in its namespace, asked from a thread that is there too."""

    thread: ThreadPoolExecutor | None = None

    def ask(self, method: str, *path: str, body: Any = None, query: str = "") -> dict[str, Any]:
        """As an office."""
        assert self.thread is not None
        return self.thread.submit(partial(super().ask, method, *path, body=body, query=query)).result()

    def send_case(self, circle: str) -> str:
        """Write a case and send it; returns the alert id."""
        return send(self, circle, self.ask("POST", "cases", body=CASE)["case_id"])

    def inbox(self) -> list[str]:
        """Alert ids, in order of arrival."""
        return [alert["alert_id"] for alert in self.ask("GET", "inbox", query="?limit=500")["alerts"]]


@dataclass
class Coast:
    """All towers, and the lines between them."""

    towers: list[Tower]
    proxy: Proxy

    def everywhere(self, sent: dict[str, int], among: tuple[int, ...] = tuple(range(NODES))) -> bool:
        """Whether everybody among these has every alert of another one of these, once."""
        wanted = {number: sorted(a for a, by in sent.items() if by != number and by in among) for number in among}
        return all(sorted(self.towers[number].inbox()) == wanted[number] for number in among)


@pytest.fixture(scope="module")
def coast() -> Iterator[Coast]:
    folder = Path(tempfile.mkdtemp(prefix="almenara-namespaces-"))
    spaces = Namespaces(NODES)
    try:
        with spaces.made():
            yield from _coast(folder, spaces)
    finally:
        shutil.rmtree(folder)


def _coast(folder: Path, spaces: Namespaces) -> Iterator[Coast]:
    towers = [
        Tower(folder, f"n{number}", within=("ip", "netns", "exec", name), thread=inside(name))
        for number, name in enumerate(spaces.spokes)
    ]
    for number, tower in enumerate(towers):
        listen, advertise = spaces.address(number), f"{HUB_ADDRESS}:{FIRST_PORT + number}"
        old, new = '[peer]\nlisten = "127.0.0.1', f'[peer]\nadvertise = ["{advertise}"]\nlisten = "{listen}'
        tower.found(**{old: new})
    ports = [int(load_config(Home(tower.home)).peer.listen.rpartition(":")[2]) for tower in towers]
    places = [(spaces.address(number), port) for number, port in enumerate(ports)]
    proxy = Proxy(HUB_ADDRESS, FIRST_PORT, places, partial(enter, spaces.hub), seed=1)
    proxy.start()
    try:
        for tower in towers:
            tower.start()
        for tower in towers:
            tower.ready()
        for first, second in PAIRS:
            pair(towers[first], towers[second])
        yield Coast(towers, proxy)
    finally:
        for tower in towers:
            tower.stop()
            assert tower.thread is not None
            tower.thread.shutdown()
        proxy.close()


def test_after_a_partition_heals_everybody_has_everything_once(coast: Coast) -> None:
    """Both sides send while they cannot see each other, and lines die before, meanwhile and after."""
    towers, proxy = coast.towers, coast.proxy
    circle = circle_of(towers[0], list(towers[1:]), "c-coast", "network")
    sent = {tower.send_case(circle): number for number, tower in enumerate(towers)}
    proxy.break_lines(4)
    wait(lambda: coast.everywhere(sent), "the first alerts everywhere")
    proxy.sever(SIDE)
    sent |= {tower.send_case(circle): number for number, tower in enumerate(towers) for _ in range(3)}
    wait(lambda: coast.towers[1].inbox()[-1] in sent, "something on the smaller side")
    across = {alert for alert, by in sent.items() if by not in SIDE} & set(list(sent)[NODES:])
    assert not across & set(towers[0].inbox() + towers[1].inbox())
    proxy.break_lines(2)
    proxy.heal()
    proxy.break_lines(2)
    wait(lambda: coast.everywhere(sent), "every alert everywhere after the partition")
    assert proxy.broken >= 5
