"""Nothing local ever leaves: every byte on three nodes' disks, in their logs, on the wire and in what is printed."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import tempfile
import unicodedata
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from almenara.node.cases.case import is_local
from almenara.node.cases.secrets import local_texts
from almenara.node.client import Refused
from almenara.node.config import load_config
from almenara.node.home import Home
from almenara.node.transport.endpoint import parse_endpoint
from tests.support.canaries import LATITUDE, LONGITUDE, MARKERS, Canaries, Search
from tests.support.processes import Office, circle_of, direct, pair, send, settled
from tests.support.wire import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("alpha", "beta", "gamma")
TIERS = ("partner", "network", "international")
CASES = 2  # for each organisation
CODES = ("relation", "reliability", "credibility", "state", "basis")  # local fields in which no text can stand
VIEW_TEXTS = (b"intimidation.threat", b"contact-for-instruction", b"community-leader", b"CO-VAC", b"2026-11-20")


@dataclass
class Story:
    """Three organisations that told each other what may be told, over lines that somebody listens to."""

    folder: Path
    offices: list[Office]
    taps: list[Tap]
    canaries: Canaries
    cases: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    alerts: int = 0

    def play(self) -> None:
        for one, other in combinations(self.offices, 2):
            pair(one, other)
        circles = [
            circle_of(steward, [other for other in self.offices if other is not steward], f"c-{tier}", tier)
            for steward, tier in zip(self.offices, TIERS, strict=True)
        ]
        for number, office in enumerate(self.offices):
            neighbour = self.offices[(number + 1) % len(self.offices)]
            for _ in range(CASES):
                self._share(office, [*circles, direct(office, neighbour.node_id)])
            self._be_refused(office, circles[0])
        for office in self.offices:
            for words in (["inbox"], ["inbox", "--json"], ["peers"], ["circle", "list", "--json"], ["status"]):
                assert office.run(*words)[0] == 0

    def _share(self, office: Office, circles: list[str]) -> None:
        self.cases.append(self.canaries.case())
        case_id = office.ask("POST", "cases", body=self.cases[-1])["case_id"]
        for circle in circles:
            alert_id = send(office, circle, case_id)
            settled(office, alert_id)
            self.alerts += 1
        assert office.run("alert", "show", alert_id, "--json")[0] == 0

    def _be_refused(self, office: Office, circle: str) -> None:
        """Cases that stop half-way: without consent, with a wrong type where a secret stands, with a secret as code."""
        text = self.canaries.text
        for fields in (
            {"consent": {"state": "not-asked", "informed": text()}},
            {"narrative": [text()]},
            {"threats": ["no.such.code"]},
            {"nickname": text()},
            {"place": {"country": "XX", "locality": text()}},
        ):
            case = self.canaries.case(**fields)
            try:
                told = office.ask("POST", "cases", body=case)
                send(office, circle, told["case_id"])
            except Refused as refused:
                self.refusals.append(refused.told)
            else:
                raise AssertionError(f"sent in spite of {fields.keys()}")

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Everything there is to look through."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.folder)), path.read_bytes()
        for office in self.offices:
            yield f"what {office.name} printed", b"\n".join(office.told)
        for number, tap in enumerate(self.taps):
            yield f"line {number}", tap.captured()


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="almenara-canaries-"))
        stack.callback(shutil.rmtree, folder)
        offices, taps = [Office(folder, name) for name in NAMES], []
        for office in offices:
            office.found('[log]\nlevel = "debug"\n')
            listen = load_config(Home(office.home)).peer.listen
            at = parse_endpoint(listen)
            taps.append(Tap((at.host, at.port)))
            stack.callback(taps[-1].close)
            advertised = f'listen = "{listen}"\nadvertise = ["127.0.0.1:{taps[-1].port}"]'
            path = office.home / "almenara.toml"
            path.write_text(path.read_text("utf-8").replace(f'listen = "{listen}"', advertised), "utf-8")
            office.start()
            stack.callback(office.stop)
        for office in offices:
            office.ready()
        told = Story(folder, offices, taps, Canaries(seed=20261122))
        told.play()
        yield told


def test_every_text_that_never_leaves_carried_a_canary(story: Story) -> None:
    """The proof that the search below looks for something: at least 200, in every text row that SCHEMAS §2 marks."""
    assert len(set(story.canaries.drawn)) >= 200
    for case in story.cases:
        planted = {path for path, text in local_texts(case) if any(one in text for one in story.canaries.drawn)}
        unplanted = {path for path, text in local_texts(case) if is_local(path)} - planted
        assert {path.rpartition(".")[2] for path in unplanted} <= {*CODES, "lat", "lon"}
    assert {one.rstrip("0123456789")[:4] for one in story.canaries.drawn} > {
        unicodedata.normalize("NFC", marker)[:4] for marker in MARKERS.values()
    }


def test_no_canary_stands_in_any_byte_on_disk_in_logs_on_the_wire_or_in_what_is_printed(story: Story) -> None:
    """The authors' own homes included: SQLCipher and vault show nothing to whoever takes the disk."""
    places = list(story.places())
    assert {name.partition("/")[0] for name, _ in places} >= {*NAMES, *(f"{name}.log" for name in NAMES)}
    for name in NAMES:
        assert sum(len(content) for where, content in places if where.startswith(f"{name}/data.db")) > 100_000
    assert Search()(places) == []


def test_the_lines_carried_everything_and_nothing_of_it_can_be_read_there(story: Story) -> None:
    """Every alert crossed a tapped line, and not even what may be shown is seen there."""
    wire = b"".join(tap.captured() for tap in story.taps)
    assert len(wire) > story.alerts * 4096
    assert [text for text in VIEW_TEXTS if text in wire] == []
    assert [office.name for office in story.offices if office.name.encode() in wire] == []


def test_refusals_name_the_field_and_never_the_text(story: Story) -> None:
    """What a person is told about a faulty case can be read over their shoulder."""
    told = [(f"refusal {number}", repr(one).encode()) for number, one in enumerate(story.refusals)]
    assert len(told) == 5 * len(NAMES)
    assert Search()(told) == []


def test_the_search_finds_a_canary_in_every_script_and_form(story: Story) -> None:
    """A control, written in plain to a file in the folder, and then in each way a program might write it."""
    control = story.folder / "alpha" / "control.txt"
    control.write_text(f"… {story.canaries.case()['title']} …", encoding="utf-8")
    try:
        assert any("control.txt" in found for found in Search()(story.places()))
    finally:
        control.unlink()


@pytest.mark.parametrize("script", MARKERS)
def test_the_search_knows_each_way_of_writing(script: str) -> None:
    """UTF-8 and 16, base64 at every offset, hex, lower case, decomposed, escaped."""
    canary = f"x{MARKERS[script]}y123456"
    search, raw = Search(), canary.encode()
    forms = [
        raw,
        canary.encode("utf-16-le"),
        canary.encode("utf-16-be"),
        canary.lower().encode(),
        unicodedata.normalize("NFD", canary).encode(),
        raw.hex().encode(),
        canary.encode("utf-16-le").hex().upper().encode(),
        json.dumps(canary).encode(),
        quote(canary).encode(),
        *(base64.b64encode(bytes(offset) + raw) for offset in range(3)),
        *(base64.urlsafe_b64encode(bytes(offset) + raw.lower()) for offset in range(3)),
    ]
    assert [form for form in forms if not search([("here", form)])] == []


def test_the_search_knows_numbers() -> None:
    """Coordinates as text and as the eight bytes of a float; a digest as letters and as bytes."""
    digest = Canaries(seed=1).digest()
    forms = [b"3.4516468", struct.pack("<d", LATITUDE), struct.pack(">d", LONGITUDE), digest.encode()]
    forms.append(bytes.fromhex(digest))
    assert [form for form in forms if not Search()([("here", form)])] == []
