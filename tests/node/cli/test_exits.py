"""Exit codes and how refusals are told (SCHEMAS §8)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node import client
from almenara.node.problem import Kind

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "Yolanda Quiroga"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_problem_has_its_exit_code(kind: Kind, almenara: Any, node: Any) -> None:
    node.refuse(kind)
    expected = {Kind.UNREACHABLE: 3, Kind.INTERNAL: 4}.get(kind, 1)
    assert almenara("peers", "--home", node.home).exit == expected


def test_a_problem_is_json_on_stdout_and_one_line_on_stderr(almenara: Any, node: Any) -> None:
    node.refuse(
        "consent-missing", field="consent.state", expected="share-network", got="not-asked",
        detail="Nobody was asked.", next="Record consent on the case", case_id="k",
    )  # fmt: skip
    said = almenara("case", "show", "k", "--home", node.home, "--json")
    assert said.told == node.answers[0][1]
    assert said.err == (
        "Refused by a rule: field consent.state, expected share-network, got not-asked, case k."
        " Nobody was asked. Record consent on the case.\n"
    )


def test_without_json_a_problem_leaves_stdout_empty(almenara: Any, node: Any) -> None:
    node.refuse("not-found")
    said = almenara("case", "show", "k", "--home", node.home)
    assert (said.exit, said.out, said.err) == (1, "", "Refused by a rule.\n")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"url": "http://127.0.0.1:9", "token": "t"}'])
def test_no_running_node_is_exit_3(content: str | None, almenara: Any, tmp_path: Path) -> None:
    """No file, a broken one, or one that a killed node left behind."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    if content is not None:
        (home / "run" / "local.json").write_text(content, encoding="utf-8")
    said = almenara("status", "--home", home, "--json")
    assert (said.exit, said.told["type"]) == (3, "urn:almenara:problem:unreachable")
    assert "almenara run" in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"null"])
def test_something_else_on_the_port_is_exit_3(answer: bytes, almenara: Any, node: Any) -> None:
    node.answers = [(200, answer)]
    assert almenara("status", "--home", node.home).exit == 3


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["peers", "confirm"],
        ["circle", "create", "a"],
        ["circle", "create", "a", "--tier", "everybody"],
        ["circle", "create", "a", "--tier", "partner", "--retention-days", "0"],
        ["case", "add", "no-such-file"],
        ["alert", "send", "k"],
        ["inbox", "--limit", "0"],
        ["status", "--unknown"],
        ["schema", "person"],
        ["person", "add", "Amina", "--role", "viewer"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(words: list[str], almenara: Any) -> None:
    said = almenara(*words)
    assert (said.exit, said.out) == (2, "")
    assert said.err
    assert "Traceback" not in said.err


def test_a_secret_that_would_leave_is_traced_to_its_case_in_one_line(almenara: Any, node: Any) -> None:
    node.refuse("secret-would-leave", field="area", known_from="identifiers", known_case="k7")
    said = almenara("alert", "preview", "k", "--circle", "c", "--home", node.home)
    assert said.err == "Refused by a rule: field area, known from identifiers of case k7.\n"


def test_wrong_usage_with_json_is_a_problem_too(almenara: Any) -> None:
    said = almenara("circle", "create", "a", "--tier", "everybody", "--json")
    assert (said.exit, said.told["type"]) == (2, "urn:almenara:problem:malformed")
    assert len(said.err.splitlines()) == 1


def test_our_own_fault_is_exit_4_without_traceback_and_without_its_text(
    almenara: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object, **__: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(client.http.client, "HTTPConnection", fault)
    said = almenara("peers", "--home", node.home, "--json")
    assert (said.exit, said.told["type"]) == (4, "urn:almenara:problem:internal")
    assert said.told["id"] in said.err
    assert "KeyError" in said.err
    assert len(said.err.splitlines()) == 1
    assert CANARY not in said.out + said.err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["circle", "--help"], ["--version"]], ids=" ".join)
def test_help_and_version_are_exit_0_or_usage(words: list[str], almenara: Any) -> None:
    said = almenara(*words)
    assert said.exit == (0 if words else 2)
    assert "almenara" in said.out + said.err


def test_a_reader_that_closes_our_output_is_no_traceback(node: Any) -> None:
    node.answers = [(200, {"text": "x" * 500_000})]
    command = [sys.executable, "-c", "from almenara.node.cli import main; main()"]
    with subprocess.Popen(
        [*command, "peers", "--json", "--home", node.home], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == ""


def test_help_imports_nothing_heavy() -> None:
    """`almenara --help` has to answer at once, on an old machine too."""
    code = (
        "import sys, json; from almenara.node.cli import main; sys.argv = ['almenara', '--help']\n"
        "try: main()\nexcept SystemExit: print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in json.loads(ran.stderr)}
    heavy = {
        "aiohttp",
        "pydantic",
        "sqlalchemy",
        "cryptography",
        "nacl",
        "rich",
        "structlog",
        "jinja2",
        "asyncio",
        "h3",
    }
    assert not loaded & heavy
    assert "circle" in ran.stdout
