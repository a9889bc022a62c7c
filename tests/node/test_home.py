"""A node's home: rights, whole files, one node at a time, and where the passphrase comes from."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from almenara.node.home import Home, read_passphrase
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from almenara.node.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    made.write(made.vault_path, b"vault")
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_home_is_for_its_owner_only(tmp_path: Path) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        home = Home(tmp_path / "a" / "home")
        home.create()
        home.write(home.config_path, b"text")
    finally:
        os.umask(before)
    assert (mode(home.path), mode(home.run_dir), mode(home.config_path)) == (0o700, 0o700, 0o600)


def test_a_home_that_became_readable_for_others_is_closed_again(home: Home) -> None:
    for path, wide in ((home.path, 0o755), (home.vault_path, 0o644)):
        path.chmod(wide)
    with home.lock():
        assert (mode(home.path), mode(home.vault_path), mode(home.lock_path)) == (0o700, 0o600, 0o600)


def test_a_file_is_replaced_whole(home: Home) -> None:
    home.write(home.policy_path, b"old")
    home.write(home.policy_path, b"new")
    assert home.policy_path.read_bytes() == b"new"
    assert [path.name for path in home.path.iterdir() if path.suffix == ".part"] == []


def test_a_write_that_fails_leaves_the_old_file(home: Home) -> None:
    home.write(home.policy_path, b"old")
    with pytest.raises(TypeError):
        home.write(home.policy_path, "text")  # type: ignore[arg-type]
    assert home.policy_path.read_bytes() == b"old"
    home.write(home.policy_path, b"new")
    assert home.policy_path.read_bytes() == b"new"


def test_a_second_node_on_a_home_is_refused(home: Home) -> None:
    with home.lock(), pytest.raises(Problem) as caught, home.lock():
        pass
    assert caught.value.kind is Kind.HOME_IN_USE
    assert caught.value.next


def test_a_second_process_is_refused_until_the_first_is_killed(home: Home) -> None:
    """And the lock file that the killed one leaves behind locks nobody out."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(home.path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(Problem), home.lock():
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    assert home.lock_path.exists()
    with home.lock():
        pass


def test_the_lock_file_is_gone_after_a_clean_stop_and_after_an_exception(home: Home) -> None:
    with home.lock():
        assert home.lock_path.exists()
    assert not home.lock_path.exists()
    with pytest.raises(LookupError), home.lock():
        raise LookupError
    with home.lock():
        pass


def test_a_lock_on_a_file_that_was_taken_away_does_not_count(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removes the file, then lets go: who locked the removed file must begin again with the new one."""
    real = os.open
    first = [True]

    def open_then_vanish(path: object, *words: int) -> int:
        descriptor = real(path, *words)  # type: ignore[call-overload]
        if path == home.lock_path and first.pop() if first else False:
            home.lock_path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_vanish)
    with home.lock():
        assert home.lock_path.exists()
        with pytest.raises(Problem), home.lock():
            pass


def test_a_folder_without_a_vault_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught, Home(tmp_path / "none").lock():
        pass
    assert caught.value.kind is Kind.NOT_FOUND
    assert not (tmp_path / "none").exists()


def test_the_command_line_finds_the_running_node(home: Home) -> None:
    assert home.read_local() is None
    home.write_local("http://127.0.0.1:7780", "secret", "0.1.0")
    assert home.read_local() == {
        "url": "http://127.0.0.1:7780",
        "token": "secret",
        "pid": os.getpid(),
        "version": "0.1.0",
    }
    assert mode(home.local_path) == 0o600
    home.remove_local()
    home.remove_local()
    assert home.read_local() is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_damaged_note_is_no_running_node(home: Home, content: bytes) -> None:
    home.local_path.write_bytes(content)
    assert home.read_local() is None


def test_the_passphrase_comes_from_the_first_source_there_is(tmp_path: Path) -> None:
    for name in ("flag", "variable"):
        (tmp_path / name).write_text(f"passphrase of the {name}\nnot this line\n")
    (tmp_path / "passphrase").write_text("passphrase of systemd\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(None, prompt=False, environ=environ) == "passphrase of systemd"
    environ["ALMENARA_PASSPHRASE_FILE"] = str(tmp_path / "variable")
    assert read_passphrase(None, prompt=False, environ=environ) == "passphrase of the variable"
    assert read_passphrase(tmp_path / "flag", prompt=False, environ=environ) == "passphrase of the flag"


def test_without_a_source_and_a_terminal_there_is_no_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node then starts locked."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed into a pipe\n"))
    assert read_passphrase(None, prompt=True, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None
    assert read_passphrase(None, prompt=False, environ={}) is None


def test_on_a_terminal_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def answer(question: str, *, hide_input: bool, **_: object) -> str:
        asked.append((question, hide_input))
        return "typed by a person"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", answer)
    assert read_passphrase(None, prompt=True, environ={}) == "typed by a person"
    assert asked == [("Passphrase", True)]


def test_a_short_passphrase_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("elevenchars\n")
    with pytest.raises(Problem) as caught:
        read_passphrase(tmp_path / "file", prompt=False)
    assert (caught.value.kind, caught.value.got) == (Kind.WRONG_TYPE, "11")
    assert "elevenchars" not in caught.value.line()


@pytest.mark.parametrize("content", [None, b"\xff\xfe not text"])
def test_a_passphrase_file_that_cannot_be_read_is_named_by_its_option(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(Problem) as caught:
        read_passphrase(tmp_path / "file", prompt=False)
    assert (caught.value.kind, caught.value.field) == (Kind.NOT_FOUND, "passphrase-file")
