"""Real nodes that are never up at the same time, and a stick that goes between them; and kill -9 while one is read."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.casebook import parse_id
from almenara.node.home import Home
from almenara.protocol.bundle import BundleWriter, nameless_header
from almenara.protocol.bundle_head import lock_with
from tests.support.hostile import NETWORK_VIEW, Outlaw
from tests.support.nodes import running
from tests.support.processes import CLI, Office, circle_of, pair, settled, wait
from tests.support.steps import CASE

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 2500  # alerts in the file that is read while the node is killed
KILLS = 2
WORDS = "seven plain words for a stick"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="almenara-sticks-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def offices(folder: Path) -> Iterator[tuple[Office, Office, str]]:
    """Alpha and beta, paired and in a circle; both stopped."""
    alpha, beta = Office(folder, "alpha"), Office(folder, "beta")
    try:
        for office in (alpha, beta):
            office.found()
            office.start()
        for office in (alpha, beta):
            office.ready()
        pair(alpha, beta)
        circle = circle_of(alpha, [beta], "c-andes", "network")
        alpha.stop()
        beta.stop()
        yield alpha, beta, circle
    finally:
        for office in (alpha, beta):
            if office.process is not None:
                office.stop()


def told(office: Office, *words: str) -> dict[str, Any]:
    """What a command answers; its object stands in the first line."""
    code, out = office.run(*words, "--json")
    assert code == 0, out
    answer: dict[str, Any] = json.loads(out.splitlines()[0])
    return answer


def inbox(office: Office) -> list[str]:
    """Ids of all alerts of others, in order of arrival."""
    found: list[str] = []
    after = ""
    while True:
        page = office.ask("GET", "inbox", query=f"?limit=500&after={after}")
        if not page["alerts"]:
            return found
        found += [alert["alert_id"] for alert in page["alerts"]]
        after = page["next"]


def test_two_nodes_that_are_never_up_together_warn_each_other(
    offices: tuple[Office, Office, str], folder: Path
) -> None:
    alpha, beta, circle = offices
    file, case = folder / "stick" / "letter.almb", folder / "case.json"
    file.parent.mkdir()
    case.write_text(json.dumps(CASE), encoding="utf-8")
    sent = {}
    for author, reader in ((alpha, beta), (beta, alpha)):
        author.start()
        author.ready()
        case_id = told(author, "case", "add", str(case))["case_id"]
        sent[author.name] = told(author, "alert", "send", case_id, "--circle", circle, "--yes")["alert_id"]
        (peer,) = author.ask("GET", "peers")["peers"]
        made = told(author, "bundle", "export", str(file), "--to", peer["node_id"])
        assert (made["to"], made["bytes"]) == (peer["node_id"], file.stat().st_size)
        assert file.stat().st_mode & 0o777 == 0o600
        author.stop()
        reader.start()
        reader.ready()
        found = told(reader, "bundle", "import", str(file))
        assert found["complete"]
        assert found["refused"] == 0
        assert inbox(reader) == [sent[author.name]]
        again = told(reader, "bundle", "import", str(file))
        assert (again["new"], again["known"]) == (0, found["records"])
        reader.stop()
    for office in (alpha, beta):
        office.start()
    for office in (alpha, beta):
        office.ready()
    for office in (alpha, beta):
        settled(office, sent[office.name])
    assert (inbox(alpha), inbox(beta)) == ([sent["beta"]], [sent["alpha"]])
    alpha.stop()
    beta.stop()


async def _large(alpha: Office, circle: str) -> tuple[bytes, list[str]]:
    """A bundle with more alerts than one transaction takes, written with alpha's keys."""
    home = Home(alpha.home)
    outlaw = Outlaw.of(home)
    async with running(home) as service:
        await outlaw.learn(service)
    forger = outlaw.forger(parse_id(circle))
    writer = BundleWriter(lock_with(WORDS, bytes(range(16))), nameless_header(0))
    view = NETWORK_VIEW | {"tier": 2}
    envelopes = [writer.envelope(forger.alert(view)) for _ in range(COUNT)]
    return b"".join([writer.start(), *envelopes, *writer.finish()]), forger.sent


def test_killed_while_it_reads_a_stick_a_node_has_nothing_twice_and_misses_nothing(
    offices: tuple[Office, Office, str], folder: Path
) -> None:
    """Killed at moments nobody chose; reading the stick again brings the rest."""
    alpha, beta, circle = offices
    data, sent = asyncio.run(_large(alpha, circle))
    file, secret = folder / "large.almb", folder / "words"
    file.write_bytes(data)
    secret.write_text(WORDS, encoding="utf-8")
    beta.start()
    beta.ready()
    before = inbox(beta)
    words = ("bundle", "import", str(file), "--passphrase-file", str(secret), "--home", str(beta.home), "--json")
    for _ in range(KILLS):
        held = len(inbox(beta))
        more = held + random.randint(1, COUNT // 4)
        with subprocess.Popen([*CLI, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reading:
            wait(lambda more=more: beta.ask("GET", "status")["alerts_held"] >= more, "some of the alerts")
            assert beta.process is not None
            beta.process.kill()
            assert reading.wait(60) == 3
        assert beta.stop() == -signal.SIGKILL
        beta.start()
        beta.ready()
        found = inbox(beta)
        assert len(found) == len(set(found)) > held
        assert set(found) - set(before) <= set(sent)
    whole = told(beta, "bundle", "import", str(file), "--passphrase-file", str(secret))
    assert whole["complete"]
    assert whole["refused"] == 0
    assert whole["known"] > 0
    assert sorted(set(inbox(beta)) - set(before)) == sorted(sent)
    assert len(inbox(beta)) == len(before) + COUNT
    again = told(beta, "bundle", "import", str(file), "--passphrase-file", str(secret))
    assert (again["new"], again["known"]) == (0, COUNT)
