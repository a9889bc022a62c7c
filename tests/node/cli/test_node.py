"""Founding, running and inspecting a real node: what stands where, and how each refusal ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSPHRASE = "seven invented words open this node"
CLI = [sys.executable, "-P", "-m", "almenara.node.cli"]


def almenara(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command off a terminal, with none of our own settings around it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMENARA_")}
    return subprocess.run(
        [*CLI, *words], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=clean | env
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `init` leaves it, beside its passphrase file."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "passphrase").write_text(PASSPHRASE + "\nsecond line\n", encoding="utf-8")
    words = ["--name", "alpha", "--passphrase-file", folder / "passphrase", "--home", folder / "home"]
    done = almenara("init", *words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "alpha"
    return folder / "home"


@pytest.fixture
def home(founded: Path, tmp_path: Path) -> Path:
    """A copy of it for one test, on free ports."""
    shutil.copytree(founded, tmp_path / "home")
    shutil.copy(founded.parent / "passphrase", tmp_path / "passphrase")
    with (tmp_path / "home" / "almenara.toml").open("a", encoding="utf-8") as file:
        file.write(f'[peer]\nlisten = "127.0.0.1:{free_port()}"\n[panel]\nlisten = "127.0.0.1:{free_port()}"\n')
    return tmp_path / "home"


@contextmanager
def started(home: Path, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the node, ready when the block begins, gone when it ends."""
    out, err = (home.parent / "out").open("w"), (home.parent / "err").open("w")
    command = [*CLI, "run", "--home", home, *words]
    with out, err, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True) as process:
        try:
            until = time.monotonic() + 60
            while almenara("status", "--home", home).returncode != 0:
                assert process.poll() is None, (home.parent / "err").read_text(encoding="utf-8")
                assert time.monotonic() < until
                time.sleep(0.1)
            yield process
        finally:
            process.kill()


@contextmanager
def running(home: Path, *words: str | Path) -> Iterator[None]:
    """The same, and it has to end by itself on SIGTERM, with 0."""
    with started(home, *words) as process:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, Any]:
    """Exit code and the kind of problem on stdout; there is one line on stderr, and never a traceback."""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.returncode, json.loads(done.stdout)["type"].rpartition(":")[2]


def test_a_home_is_its_owners_alone(founded: Path) -> None:
    assert {path.name for path in founded.iterdir()} == {
        "almenara.toml", "policy.toml", "vault.almenara", "tls.pem", "run"
    }  # fmt: skip
    assert stat.S_IMODE(founded.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in founded.iterdir() if path.is_file()} == {0o600}


def test_the_passphrase_is_nowhere_in_the_home(founded: Path) -> None:
    for path in founded.rglob("*"):
        if path.is_file():
            assert PASSPHRASE.encode() not in path.read_bytes()


def test_a_home_is_never_founded_twice(home: Path) -> None:
    before = (home / "vault.almenara").read_bytes()
    again = almenara(
        "init", "--name", "beta", "--passphrase-file", home.parent / "passphrase", "--home", home, "--json"
    )
    assert told(again) == (1, "home-in-use")
    assert (home / "vault.almenara").read_bytes() == before


def test_a_short_passphrase_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("elevenchars\n", encoding="utf-8")
    done = almenara("init", "--name", "a", "--passphrase-file", tmp_path / "short", "--home", tmp_path / "h", "--json")
    assert told(done) == (1, "wrong-type")
    assert "elevenchars" not in done.stdout + done.stderr
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--listen", "nonsense"), ("--panel", "127.0.0.1:99999"), ("--name", " "), ("--panel", "0.0.0.0:1")],
)
def test_a_setting_that_cannot_be_used_is_refused_before_anything_is_made(
    option: str, value: str, tmp_path: Path
) -> None:
    words = {"--name": "a", "--home": str(tmp_path / "h")} | {option: value}
    done = almenara("init", *(word for pair in words.items() for word in pair), "--json")
    assert told(done) == (2, "malformed")
    assert not (tmp_path / "h").exists()


def test_a_folder_that_cannot_be_made_is_no_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSPHRASE + "\n", encoding="utf-8")
    words = ["--name", "a", "--passphrase-file", tmp_path / "secret", "--home", tmp_path / "secret" / "h"]
    assert told(almenara("init", *words, "--json")) == (1, "not-allowed")


@pytest.mark.parametrize("setting", ["peer.listen", "panel.listen"])
def test_an_address_that_is_taken_is_named_and_no_fault_of_ours(setting: str, home: Path) -> None:
    option = {"peer.listen": "--listen", "panel.listen": "--panel"}[setting]
    with socket.create_server(("127.0.0.1", 0)) as other:
        words = [option, f"127.0.0.1:{other.getsockname()[1]}", "--passphrase-file", home.parent / "passphrase"]
        done = almenara("run", "--home", home, *words, "--json")
    assert told(done) == (1, "not-ready")
    assert json.loads(done.stdout)["field"] == setting
    assert list((home / "run").iterdir()) == []


def test_a_home_without_its_policy_says_so(home: Path) -> None:
    (home / "policy.toml").unlink()
    done = almenara("run", "--home", home, "--passphrase-file", home.parent / "passphrase", "--json")
    assert (told(done), json.loads(done.stdout)["field"]) == ((1, "not-found"), "policy.toml")


def test_init_without_any_passphrase_off_a_terminal_is_wrong_usage(tmp_path: Path) -> None:
    done = almenara("init", "--name", "a", "--home", tmp_path / "h")
    assert done.returncode == 2
    assert "--passphrase-file" in done.stderr


def test_run_says_a_wrong_passphrase(home: Path) -> None:
    (home.parent / "wrong").write_text("another passphrase altogether\n", encoding="utf-8")
    done = almenara("run", "--home", home, "--passphrase-file", home.parent / "wrong", "--json")
    assert told(done) == (1, "wrong-passphrase")
    assert not (home / "run" / "local.json").exists()


def test_run_without_a_home_is_wrong_configuration(tmp_path: Path) -> None:
    done = almenara("run", "--home", tmp_path / "none", "--json")
    assert told(done) == (2, "malformed")
    assert "almenara init" in done.stderr


def test_run_tells_the_address_on_stdout_and_the_code_apart_from_it(home: Path) -> None:
    """The panel's address may be in a log or on a screen; the one-time code stands elsewhere."""
    with running(home, "--passphrase-file", home.parent / "passphrase", "--json"):
        local = json.loads((home / "run" / "local.json").read_text(encoding="utf-8"))
        assert stat.S_IMODE((home / "run" / "local.json").stat().st_mode) == 0o600
        printed = json.loads((home.parent / "out").read_text(encoding="utf-8"))
        assert printed["state"] == "ready"
        assert printed["panel"].rpartition(":")[2] == local["url"].rpartition(":")[2]
        said = (home.parent / "err").read_text(encoding="utf-8")
        assert [line for line in said.splitlines() if "One-time code" in line]
        assert local["token"] not in said
    assert not (home / "run" / "local.json").exists()


def test_a_running_node_leaves_no_core_dump(home: Path) -> None:
    """A core dump would hold every key of the open vault."""
    with started(home, "--passphrase-file", home.parent / "passphrase") as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="utf-8")
    (core,) = [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core == ["0", "0"]


def test_a_second_node_on_the_same_home_refuses_to_start(home: Path) -> None:
    with running(home, "--passphrase-file", home.parent / "passphrase"):
        second = almenara("run", "--home", home, "--passphrase-file", home.parent / "passphrase", "--json")
        assert told(second) == (1, "home-in-use")
        assert almenara("status", "--home", home).returncode == 0


def test_a_node_without_passphrase_starts_locked_and_says_so(home: Path) -> None:
    """`status` is content (exit 0); whatever needs the database is refused as locked (exit 1)."""
    with running(home):
        status = almenara("status", "--home", home, "--json")
        assert (status.returncode, json.loads(status.stdout)["state"]) == (0, "locked")
        for words in (["peers"], ["inbox"], ["case", "list"], ["invite"], ["circle", "list"]):
            assert told(almenara(*words, "--home", home, "--json")) == (1, "locked")


def test_a_local_file_that_a_killed_node_left_behind_is_exit_3_and_no_obstacle(home: Path) -> None:
    secret = home.parent / "passphrase"
    with started(home, "--passphrase-file", secret) as process:
        process.kill()
        process.wait()
    assert (home / "run" / "local.json").exists()
    assert told(almenara("status", "--home", home, "--json")) == (3, "unreachable")
    with running(home, "--passphrase-file", secret):
        assert almenara("status", "--home", home).returncode == 0


def test_config_check_names_the_place_of_an_unknown_key(home: Path) -> None:
    assert almenara("config", "check", "--home", home, "--json").returncode == 0
    with (home / "almenara.toml").open("a", encoding="utf-8") as file:
        file.write("[log]\nlevle = 'info'\n")
    done = almenara("config", "check", "--home", home, "--json")
    assert told(done) == (2, "malformed")
    assert "almenara.toml: log.levle" in done.stderr
    assert told(almenara("run", "--home", home, "--json")) == (2, "malformed")


def test_a_variable_goes_before_the_file_and_an_unknown_one_is_named(home: Path) -> None:
    shown = almenara("config", "show", "--redacted", "--home", home, "--json", ALMENARA_LOG_LEVEL="debug")
    assert json.loads(shown.stdout)["log"]["level"] == "debug"
    done = almenara("config", "check", "--home", home, "--json", ALMENARA_LOG_COLOUR="red")
    assert told(done) == (2, "malformed")
    assert "ALMENARA_LOG_COLOUR" in done.stderr


def test_config_show_redacted_hides_the_password_of_the_database(home: Path) -> None:
    url = {"ALMENARA_DATABASE_URL": "postgresql://almenara:hunter2hunter2@localhost/almenara"}
    done = almenara("config", "show", "--redacted", "--home", home, "--json", **url)
    assert done.returncode == 0
    assert "hunter2" not in done.stdout + done.stderr
    assert "hunter2" in almenara("config", "show", "--home", home, "--json", **url).stdout
