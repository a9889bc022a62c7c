"""Every command asks the API what SCHEMAS §8 says, and passes the answer on unchanged."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from almenara.node.cli import app

if TYPE_CHECKING:
    from pathlib import Path

SEND = {"case_id": "k", "circle_id": "c", "status": "Actual"}

ASKS = [
    (["status"], "GET", "/status", None),
    (["invite"], "POST", "/invitations", None),
    (["pair", "almenara:x"], "POST", "/peers", {"invitation": "almenara:x"}),
    (["peers"], "GET", "/peers", None),
    (["peers", "confirm", "n"], "POST", "/peers/n/confirm", None),
    (["peers", "remove", "n"], "DELETE", "/peers/n", None),
    (["circle", "create", "c-andes", "--tier", "network"], "POST", "/circles", {"name": "c-andes", "tier": "network"}),
    (
        ["circle", "create", "a", "--tier", "partner", "--max-tlp", "TLP:RED", "--retention-days", "9"],
        "POST",
        "/circles",
        {"name": "a", "tier": "partner", "max_tlp": "TLP:RED", "retention_days": 9},
    ),
    (["circle", "invite", "c", "n"], "POST", "/circles/c/members/n?role=member", None),
    (["circle", "remove", "c", "n"], "DELETE", "/circles/c/members/n", None),
    (["circle", "accept", "c"], "POST", "/circles/c/accept", None),
    (["circle", "leave", "c"], "POST", "/circles/c/leave", None),
    (["circle", "list"], "GET", "/circles", None),
    (["circle", "carriers", "c"], "GET", "/circles/c/carriers", None),
    (["peers", "carrying"], "GET", "/carrying", None),
    (["case", "list"], "GET", "/cases", None),
    (["case", "show", "k"], "GET", "/cases/k", None),
    (["alert", "preview", "k", "--circle", "c"], "POST", "/alerts/preview", SEND),
    (
        ["alert", "preview", "k", "--circle", "c", "--status", "Test"],
        "POST",
        "/alerts/preview",
        SEND | {"status": "Test"},
    ),
    (["alert", "show", "a"], "GET", "/alerts/a", None),
    (["inbox"], "GET", "/inbox?limit=100", None),
    (["inbox", "--after", "7 8", "--limit", "2"], "GET", "/inbox?limit=2&after=7+8", None),
    (["peers", "confirm", "../x y"], "POST", "/peers/..%2Fx%20y/confirm", None),
]


@pytest.mark.parametrize(("words", "method", "path", "body"), ASKS, ids=lambda value: str(value)[:50])
def test_command_asks_and_passes_on(
    words: list[str], method: str, path: str, body: Any, almenara: Any, node: Any
) -> None:
    answer = {"answer": "قرية", "list": [1, {"deep": True}]}
    node.answers = [(200, answer)]
    said = almenara(*words, "--home", node.home, "--json")
    assert said.exit == 0
    assert said.told == answer
    assert said.err == ""
    assert node.asked == [(method, "/api/v1" + path, body)]


def test_carriers_are_asked_and_asked_no_more_before_they_are_listed(almenara: Any, node: Any) -> None:
    node.answers = [(200, {"carriers": []})] * 5
    almenara("circle", "carriers", "c", "--add", "n", "--remove", "m", "--home", node.home, "--json")
    almenara("peers", "carrying", "--peer", "n", "--quota-mb", "200", "--home", node.home, "--json")
    assert node.asked == [
        ("POST", "/api/v1/circles/c/carriers/n", None),
        ("DELETE", "/api/v1/circles/c/carriers/m", None),
        ("GET", "/api/v1/circles/c/carriers", None),
        ("POST", "/api/v1/carrying/n", {"quota_mb": 200}),
        ("GET", "/api/v1/carrying", None),
    ]


@pytest.mark.parametrize("words", [["--peer", "n"], ["--quota-mb", "5"], ["--peer", "n", "--quota-mb", "4001"]])
def test_a_quota_is_somebodys_and_has_an_end(words: list[str], almenara: Any, node: Any) -> None:
    assert almenara("peers", "carrying", *words, "--home", node.home).exit == 2
    assert node.asked == []


def test_the_token_goes_along_and_nothing_a_browser_would_add(almenara: Any, node: Any) -> None:
    almenara("peers", "--home", node.home, "--json")
    (headers,) = node.headers
    assert headers["Authorization"] == "Bearer token-of-this-start"
    assert not {"Cookie", "Origin", "Referer"} & headers.keys()


@pytest.mark.parametrize("option", [["--home", "elsewhere"], ["--json"]])
def test_an_option_between_peers_and_its_word_is_refused_not_dropped(
    option: list[str], almenara: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped, `--home` would have another home's peer removed."""
    monkeypatch.setenv("ALMENARA_HOME", str(node.home))
    said = almenara("peers", *option, "remove", "n")
    assert said.exit == 2
    assert "after the command's own words" in said.err
    assert node.asked == []


def test_the_home_comes_from_the_option_then_the_variable_then_the_default(
    almenara: Any, node: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALMENARA_HOME", str(node.home))
    assert almenara("peers", "--json").exit == 0
    assert almenara("peers", "--home", tmp_path / "other", "--json").exit == 3
    monkeypatch.delenv("ALMENARA_HOME")
    assert almenara("peers", "--json").exit == 3
    node.home.rename(tmp_path / ".almenara")
    assert almenara("peers", "--json").exit == 0


def test_case_add_sends_the_file_as_it_is(almenara: Any, node: Any, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text(json.dumps({"title": "قرية"}), encoding="utf-8")
    node.answers = [(201, {"case_id": "k", "state": "ready", "warnings": []})]
    said = almenara("case", "add", file, "--home", node.home, "--json")
    assert (said.exit, said.told["case_id"]) == (0, "k")
    assert node.asked == [("POST", "/api/v1/cases", {"title": "قرية"})]


def test_case_add_reads_stdin(node: Any) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from almenara.node.cli import main; main()", "case", "add", "-", "--home", node.home],
        input=b'{"title": "t"}', check=True, capture_output=True,
    )  # fmt: skip
    assert not ran.stderr
    assert node.asked == [("POST", "/api/v1/cases", {"title": "t"})]


def test_case_import_says_what_became_of_every_line(almenara: Any, node: Any, tmp_path: Path) -> None:
    """Ready, draft and refused lines are told apart; one bad line does not stop the next (exit 1)."""
    file = tmp_path / "cases.jsonl"
    file.write_text('{"a": 1}\n\n{"b": 2}\n[]\n{"c": 3}\n', encoding="utf-8")
    urn = "urn:almenara:problem:"
    draft = {
        "type": urn + "consent-missing",
        "title": "This case may not leave",
        "status": 422,
        "case_id": "k2",
        "problems": [],
    }
    junk = {"type": urn + "malformed", "title": "This could not be read", "status": 400}
    ready = {"state": "ready", "warnings": []}
    node.answers = [(201, ready | {"case_id": "k1"}), (422, draft), (400, junk), (201, ready | {"case_id": "k3"})]
    said = almenara("case", "import", file, "--home", node.home, "--json")
    assert said.exit == 1
    assert said.told == {
        "ready": 2,
        "drafts": 1,
        "refused": 1,
        "results": [
            {"line": 1, "case_id": "k1", "state": "ready"},
            {"line": 3, "case_id": "k2", "state": "draft", "problem": draft},
            {"line": 4, "state": "refused", "problem": junk},
            {"line": 5, "case_id": "k3", "state": "ready"},
        ],
    }
    assert said.err.splitlines() == [
        "line 3: This case may not leave: kept as draft k2.",
        "line 4: This could not be read.",
    ]


def test_case_import_of_ready_cases_exits_0(almenara: Any, node: Any, tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text("{}\n{}\n", encoding="utf-8")
    node.answers = [(201, {"case_id": "k", "state": "ready", "warnings": []})]
    assert almenara("case", "import", file, "--home", node.home, "--json").exit == 0


@pytest.mark.parametrize(("kind", "code"), [("locked", 1), ("internal", 4)])
def test_case_import_stops_when_no_line_can_succeed(
    kind: str, code: int, almenara: Any, node: Any, tmp_path: Path
) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text("{}\n{}\n", encoding="utf-8")
    node.refuse(kind)
    said = almenara("case", "import", file, "--home", node.home, "--json")
    assert (said.exit, said.told["type"]) == (code, f"urn:almenara:problem:{kind}")
    assert len(node.asked) == 1


PREVIEW = {
    "case_id": "k", "circle_id": "c", "circle": "c-andes", "tier": "network", "status": "Actual", "tlp": "TLP:AMBER",
    "view": {"threats": ["legal.arrest"], "country": "CO"}, "body_base64": "", "body_sha256": "ab" * 32,
    "statement": "s1", "recipients": [{"node_id": "n", "name": "beta [b]", "kind": "organisation", "verified": True}],
    "people_in_place": 893000, "same_view": 0, "expires_at": "2027-01-01T00:00:00.000Z",
    "consent": {"state": "share-network"}, "dropped": [{"field": "persons", "why": "never leaves"}],
}  # fmt: skip


def test_send_names_exactly_what_was_previewed(almenara: Any, node: Any) -> None:
    sent = {"alert_id": "a", "circle_id": "c", "body_sha256": "ab" * 32, "recipients": 1}
    node.answers = [(200, PREVIEW), (201, sent)]
    said = almenara("alert", "send", "k", "--circle", "c", "--yes", "--home", node.home, "--json")
    assert (said.exit, said.told) == (0, sent)
    assert node.asked == [
        ("POST", "/api/v1/alerts/preview", SEND),
        ("POST", "/api/v1/alerts", SEND | {"body_sha256": "ab" * 32, "statement": "s1"}),
    ]


def test_send_without_yes_off_a_terminal_sends_nothing(almenara: Any, node: Any) -> None:
    node.answers = [(200, PREVIEW)]
    said = almenara("alert", "send", "k", "--circle", "c", "--home", node.home, "--json")
    assert said.exit == 2
    assert "--yes" in said.err
    assert [path for _, path, _ in node.asked if path == "/api/v1/alerts"] == []


@pytest.mark.parametrize(("answer", "code", "asked"), [("n\n", 1, 1), ("y\n", 0, 2)])
def test_send_on_a_terminal_shows_the_preview_and_asks(answer: str, code: int, asked: int, node: Any) -> None:
    """A real terminal: the preview and the question are words, so they stand on stderr; stdout holds the answer."""
    node.answers = [(200, PREVIEW), (201, {"alert_id": "a1", "circle_id": "c", "body_sha256": "", "recipients": 1})]
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer.encode())
    ran = subprocess.run(
        [sys.executable, "-c", "from almenara.node.cli import main; main()",
         "alert", "send", "k", "--circle", "c", "--home", node.home, "--json"],
        stdin=terminal, check=False, capture_output=True, text=True,
    )  # fmt: skip
    os.close(keyboard)
    os.close(terminal)
    assert (ran.returncode, len(node.asked)) == (code, asked)
    assert "beta [b]" in ran.stderr
    assert "893,000" in ran.stderr
    assert "Send this?" in ran.stderr
    assert ("a1" in ran.stdout) == (code == 0)


def test_person_add_takes_the_first_line_of_the_file(almenara: Any, node: Any, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse battery\nsecond line\n", encoding="utf-8")
    node.answers = [(201, {"name": "Amina", "role": "case worker", "created_at": ""})]
    words = ["person", "add", "Amina", "--role", "case worker", "--password-file", file, "--home", node.home, "--json"]
    said = almenara(*words)
    assert said.exit == 0
    body = {"name": "Amina", "role": "case worker", "password": "correct horse battery"}
    assert node.asked == [("POST", "/api/v1/people", body)]
    assert "horse" not in said.out + said.err


def import_command(name: str) -> click.Command:
    found = app.almenara.get_command(click.Context(app.almenara), name)
    assert found is not None
    return found


def test_no_command_takes_a_secret_as_an_argument_or_variable() -> None:
    """Arguments stand in the process list and in the shell's history."""

    def options(command: Any) -> list[str]:
        taking = [one for one in command.params if not getattr(one, "is_flag", False)]  # a flag has nothing to leak
        own = [name for parameter in taking for name in parameter.opts]
        return own + [name for sub in getattr(command, "commands", {}).values() for name in options(sub)]

    names = {option for name in app.COMMANDS for option in options(import_command(name))}
    secret = {name for name in names if "pass" in name or "code" in name or "token" in name}
    assert {"--passphrase-file", "--password-file"} >= secret


def test_schema_needs_no_node(almenara: Any) -> None:
    for name in ("case", "alert"):
        said = almenara("schema", name, "--home", "anywhere")  # every command takes it
        assert said.exit == 0
        assert said.told["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_files_that_commands_read_are_not_changed(almenara: Any, node: Any, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text("{}", encoding="utf-8")
    file.chmod(0o400)
    almenara("case", "add", file, "--home", node.home, "--json")
    assert (file.read_text(encoding="utf-8"), stat.S_IMODE(file.stat().st_mode)) == ("{}", 0o400)
