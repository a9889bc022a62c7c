"""Four organisations: a warning reaches a member through a node that is in no circle with it and can read nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from almenara.crypto.vault import open_vault
from almenara.node.clock import now_ms
from almenara.node.home import Home
from almenara.node.identity import Identity
from almenara.node.keyring import Keyring
from almenara.node.storage.engine import open_store
from almenara.node.storage.schema import metadata
from tests.support.nodes import PASSPHRASE
from tests.support.processes import Office, circle_of, pair, send, wait
from tests.support.steps import CASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("steward", "author", "carrier", "reader")
CIRCLE = "c-páramo-5b2f"
READABLE = (CIRCLE, "intimidation.threat", "contact-for-instruction", "CO-CAU", "2026-W47", "reader")
SMALL = 4_096


@dataclass
class Story:
    """Author and reader share a circle with a steward that is off; each is paired with the carrier."""

    offices: dict[str, Office]
    circle: str = ""
    steward_id: str = ""

    def __getattr__(self, name: str) -> Office:
        try:
            return self.offices[name]
        except KeyError:
            raise AttributeError(name) from None

    def begin(self) -> None:
        for other in ("author", "reader"):
            pair(self.steward, self.offices[other])
            pair(self.carrier, self.offices[other])
        self.circle = circle_of(self.steward, [self.author, self.reader], CIRCLE, "network")
        self.steward_id = self.steward.node_id
        self.steward.stop()

    def carriers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.author.ask("GET", "circles", self.circle, "carriers")["carriers"]
        return found

    def pool(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.carrier.ask("GET", "carrying")["carrying"]
        return found[0] if found else {}

    def warn(self) -> str:
        case_id = self.author.ask("POST", "cases", body=CASE)["case_id"]
        return send(self.author, self.circle, case_id)

    def arrived(self, alert_id: str) -> bool:
        return [one["alert_id"] for one in self.reader.ask("GET", "inbox")["alerts"]].count(alert_id) == 1

    def delivery(self, alert_id: str) -> dict[str, Any]:
        recipients = self.author.ask("GET", "alerts", alert_id)["recipients"]
        return {one["name"]: one for one in recipients}["reader"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("carrying")
    with ExitStack() as stack:
        offices = {name: Office(folder, name) for name in NAMES}
        for office in offices.values():
            office.found()
            office.start()
            stack.callback(office.stop)
        for office in offices.values():
            office.ready()
        told = Story(offices)
        told.begin()
        yield told


def test_unasked_nobody_carries(story: Story) -> None:
    alert_id = story.warn()
    assert story.pool() == {}
    assert story.delivery(alert_id)["state"] == "queued"
    assert not story.arrived(alert_id)


def test_asked_the_carrier_brings_what_was_sent_before_and_since(story: Story) -> None:
    """The author is told `carried`, by whom, and never `stored` on a carrier's word."""
    code, told = story.author.run("circle", "carriers", story.circle, "--add", story.carrier.node_id, "--json")
    assert code == 0
    (asked,) = json.loads(told.splitlines()[0])["carriers"]
    assert (asked["name"], asked["state"]) == ("carrier", "asked")
    wait(lambda: story.carriers()[0]["state"] == "carrying", "the carrier's answer")
    alert_id = story.warn()
    wait(lambda: story.arrived(alert_id), "the alert at the reader")
    wait(lambda: len(story.reader.ask("GET", "inbox")["alerts"]) == 2, "the one from before")
    delivery = wait(lambda: (d := story.delivery(alert_id))["state"] == "carried" and d, "carried")
    assert delivery["carried_by"] == ["carrier"]
    assert "stored_at" not in delivery
    wait(lambda: story.carriers()[0]["used_bytes"] >= 2 * SMALL, "the author knows how much is in use")
    assert story.pool()["name"] == "author"
    assert story.pool()["envelopes"] >= 2


def test_the_reader_may_be_off_when_it_comes(story: Story) -> None:
    story.reader.stop()
    alert_id = story.warn()
    wait(lambda: story.delivery(alert_id)["state"] == "carried", "carried")
    story.author.stop()
    story.reader.start()
    story.reader.ready()
    wait(lambda: story.arrived(alert_id), "the alert, though its author is off")
    story.author.start()
    story.author.ready()


def test_a_carrier_that_was_off_goes_on(story: Story) -> None:
    story.carrier.stop()
    alert_id = story.warn()
    wait(lambda: story.carriers()[0]["state"] == "offline", "the author sees it")
    story.carrier.start()
    story.carrier.ready()
    wait(lambda: story.arrived(alert_id), "the alert")


def test_a_quota_of_nothing_refuses_and_another_takes_again(story: Story) -> None:
    author = story.author.node_id
    code, _ = story.carrier.run("peers", "carrying", "--peer", author, "--quota-mb", "0")
    assert code == 0
    wait(lambda: story.carriers()[0]["state"] == "refused", "refused")
    assert story.pool()["envelopes"] == 0
    story.carrier.run("peers", "carrying", "--peer", author, "--quota-mb", "1")
    wait(lambda: story.carriers()[0]["granted_bytes"] == 1_000_000, "granted again")
    alert_id = story.warn()  # perhaps before both have proven the scopes again
    wait(lambda: story.arrived(alert_id), "the alert")
    assert story.pool()["envelopes"] > 0


def test_nothing_at_the_carrier_can_be_read_or_opened(story: Story) -> None:
    """Its open database, as somebody has it who knows its passphrase, and everything that it printed."""
    for words in (["status"], ["peers"], ["peers", "carrying"], ["circle", "list"], ["inbox"]):
        assert story.carrier.run(*words)[0] == 0
        assert story.carrier.run(*words, "--json")[0] == 0
    told = b"\n".join([*story.carrier.told, story.carrier.log.read_bytes()])
    story.carrier.stop()
    rows, openable = asyncio.run(_everything(story.carrier.home))
    assert len(rows) > 100
    names_known = {"reader"}  # it is paired with them
    for text in set(READABLE) - names_known:
        assert text.encode() not in told
        assert [row for row in rows if text in row] == []
    assert any("author" in row for row in rows), "the control: what it may know is found"
    assert openable == {"held": 0}
    story.carrier.start()
    story.carrier.ready()


async def _everything(home: Path) -> tuple[list[str], dict[str, int]]:
    """Every row of a stopped node's database as text; of its envelopes in state held, how many its keys open."""
    found = Home(home)
    identity = Identity.decode(open_vault(found.vault_path.read_bytes(), PASSPHRASE))
    store = await open_store(found.database_path, identity.database_key, identity.column_key, clock=now_ms)
    try:
        rows: list[str] = []
        async with store.read() as tx:
            for table in metadata.sorted_tables:
                told = await tx.log._connection.execute(table.select())
                rows += [f"{table.name}: {_text(tuple(row))}" for row in told]
            keyring = Keyring()
            keyring.load(await tx.keys.all(), await tx.statements.all(), await tx.prekeys.own())
            held = await tx.log.held(keyring.kids())
        return rows, {"held": len(held)}
    finally:
        await store.close()


def _text(row: tuple[Any, ...]) -> str:
    return " ".join(value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in row)


def test_stopped_the_author_is_on_its_own_again(story: Story) -> None:
    wait(lambda: story.carriers()[0]["state"] == "carrying", "connected again")
    code, told = story.author.run("circle", "carriers", story.circle, "--remove", story.carrier.node_id, "--json")
    assert code == 0
    assert json.loads(told.splitlines()[0])["carriers"] == []
    wait(lambda: "asked_at" not in story.pool(), "the carrier knows")
    alert_id = story.warn()
    direct = send(story.author, _direct(story), story.author.ask("POST", "cases", body=CASE)["case_id"])
    wait(lambda: story.author.ask("GET", "alerts", direct)["recipients"][0]["state"] == "stored", "a later one")
    assert story.delivery(alert_id)["state"] == "queued"


def _direct(story: Story) -> str:
    carrier = story.carrier.node_id
    for circle in story.author.ask("GET", "circles")["circles"]:
        if circle["kind"] == "direct" and carrier in {member["node_id"] for member in circle["members"]}:
            return str(circle["circle_id"])
    raise AssertionError("no direct circle")


def test_whom_one_may_not_ask(story: Story) -> None:
    """A member carries anyway; a stranger, or somebody not verified, is not asked."""
    add = ("circle", "carriers", story.circle, "--add")
    assert story.author.problem(*add, story.reader.node_id) == (1, "peer-not-verified")
    assert story.author.problem(*add, story.steward_id) == (1, "not-allowed")
    assert story.author.problem("circle", "carriers", story.circle, "--remove", story.carrier.node_id) == (
        1,
        "not-found",
    )
    assert story.carrier.problem("circle", "carriers", story.circle) == (1, "not-found")
