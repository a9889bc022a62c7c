"""`almenara bundle`: a file is there whole or not at all, and a passphrase is asked for, never told on the way."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.node.cli.conftest import FakeNode, Said

    Almenara = Callable[..., Said]

PASSPHRASE = "seven plain words for a stick"
TAKEN = {"records": 3, "new": 2, "known": 1, "held": 0, "refused": 0, "complete": True}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(PASSPHRASE + "\n", encoding="utf-8")
    return path


def test_a_bundle_for_one_organisation(almenara: Almenara, node: FakeNode, tmp_path: Path) -> None:
    node.answers, node.figures = [(200, b"ALMB...")], {"Almenara-Envelopes": "7", "Almenara-Left-Out": "0"}
    file = tmp_path / "out.almb"
    said = almenara("bundle", "export", file, "--to", "n", "--home", node.home, "--json")
    assert said.exit == 0
    assert said.told == {"file": str(file), "envelopes": 7, "bytes": 7, "left_out": 0, "to": "n"}
    assert file.read_bytes() == b"ALMB..."
    assert file.stat().st_mode & 0o777 == 0o600
    assert node.asked == [("POST", "/api/v1/bundles/export", {"to": "n"})]
    assert sorted(path.name for path in tmp_path.glob("*.almb*")) == ["out.almb"]


def test_a_bundle_under_a_passphrase(almenara: Almenara, node: FakeNode, tmp_path: Path, secret: Path) -> None:
    node.answers = [(200, b"ALMB...")]
    said = almenara("bundle", "export", tmp_path / "x", "--passphrase-file", secret, "--home", node.home)
    assert said.exit == 0
    assert node.asked[0][2] == {"passphrase": PASSPHRASE}
    assert PASSPHRASE not in said.out + said.err


@pytest.mark.parametrize("words", [[], ["--to", "n", "--passphrase"]])
def test_for_one_or_under_a_passphrase_and_not_both(
    almenara: Almenara, node: FakeNode, tmp_path: Path, words: list[str]
) -> None:
    assert almenara("bundle", "export", tmp_path / "x", *words, "--home", node.home).exit == 2
    assert not node.asked


def test_the_vaults_passphrase_never_goes_onto_a_stick(
    almenara: Almenara, node: FakeNode, tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment names the file of the vault's; that is no answer to the question for the bundle's."""
    monkeypatch.setenv("ALMENARA_PASSPHRASE_FILE", str(secret))
    assert almenara("bundle", "export", tmp_path / "x", "--passphrase", "--home", node.home).exit == 2
    assert not node.asked


@pytest.mark.parametrize("how", ["refused", "cut short"])
def test_what_did_not_come_whole_leaves_the_file_before_as_it_was(
    almenara: Almenara, node: FakeNode, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "out.almb"
    file.write_bytes(b"the bundle of last week")
    if how == "refused":
        node.refuse("peer-not-verified")
    else:
        node.answers, node.missing = [(200, b"ALMB")], 10
    said = almenara("bundle", "export", file, "--to", "n", "--home", node.home, "--json")
    assert said.exit == (1 if how == "refused" else 3)
    assert file.read_bytes() == b"the bundle of last week"
    assert sorted(path.name for path in tmp_path.glob("*.almb*")) == ["out.almb"]


def test_a_place_that_cannot_be_written_is_wrong_usage(almenara: Almenara, node: FakeNode, tmp_path: Path) -> None:
    said = almenara("bundle", "export", tmp_path / "nowhere" / "x", "--to", "n", "--home", node.home)
    assert said.exit == 2


def test_a_file_goes_to_the_node_as_it_is(almenara: Almenara, node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "in.almb"
    file.write_bytes(b"ALMB\1\1" + bytes(range(256)))
    node.answers = [(200, TAKEN)]
    said = almenara("bundle", "import", file, "--home", node.home, "--json")
    assert (said.exit, said.told) == (0, TAKEN)
    assert node.asked == [("POST", "/api/v1/bundles/import", file.read_bytes())]
    assert "Almenara-Passphrase" not in node.headers[0]


def test_the_passphrase_of_a_file_goes_beside_it(
    almenara: Almenara, node: FakeNode, tmp_path: Path, secret: Path
) -> None:
    file = tmp_path / "in.almb"
    file.write_bytes(b"ALMB\1\2" + bytes(100))
    node.answers = [(200, TAKEN)]
    assert almenara("bundle", "import", file, "--home", node.home).exit == 2  # nobody to ask
    assert not node.asked
    assert almenara("bundle", "import", file, "--passphrase-file", secret, "--home", node.home).exit == 0
    assert base64.b64decode(node.headers[0]["Almenara-Passphrase"]).decode() == PASSPHRASE


def test_a_damaged_file_is_told_with_what_came_of_it(almenara: Almenara, node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "in.almb"
    file.write_bytes(b"ALMB\1\1")
    told: dict[str, Any] = TAKEN | {"complete": False, "reason": "The file is damaged.", "next": "Ask for another."}
    node.answers = [(200, told)]
    said = almenara("bundle", "import", file, "--home", node.home, "--json")
    assert (said.exit, said.told) == (1, told)
    assert said.err == "The file is damaged. Ask for another.\n"
