"""Three real nodes as processes in a folder that disappears, each driven through its real command line."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from almenara.node.client import ask
from almenara.node.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("alpha", "beta", "gamma")
START_SECONDS = 120  # Argon2id three times at once on a small, busy machine
STOP_SECONDS = 15
POLL_SECONDS = 0.1
_CLI = (sys.executable, "-P", "-m", "almenara.node.cli")  # -P: nothing in the working folder can be imported


class DemoFailed(Exception):  # noqa: N818 - what has happened
    """The demonstration did not go as it has to; the text says where."""


@dataclass(slots=True, kw_only=True)
class Player:
    """One organisation: its home, its process, its command line, and everything that it was told (for the checks)."""

    name: str
    home: Path
    log: Path
    password: str = field(default_factory=lambda: "-".join(secrets.token_hex(3) for _ in range(3)))
    node_id: str = ""
    panel: str = ""
    process: subprocess.Popen[bytes] | None = None
    told: list[str] = field(default_factory=list)

    def ask(self, *words: str) -> dict[str, Any]:
        """Run `almenara …` on this node. Raises `DemoFailed` unless it exits 0."""
        code, answer = self.attempt(*words)
        if code != 0:
            raise DemoFailed(f"{self.name}: almenara {' '.join(words)} exited {code}: {answer.get('title', '')}")
        return answer

    def attempt(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `almenara …` on this node; exit code and the object on stdout."""
        command = [*_CLI, *words, "--home", str(self.home), "--json"]
        ran = subprocess.run(command, cwd=self.home.parent, env=_environment(), capture_output=True, check=False)  # noqa: S603 - our own words
        self.told += [ran.stdout.decode(), ran.stderr.decode()]
        try:
            answer = json.loads(ran.stdout)
        except ValueError:
            raise DemoFailed(f"{self.name}: almenara {words[0]} printed no JSON (exit {ran.returncode})") from None
        return ran.returncode, answer

    def look(self, *path: str) -> dict[str, Any]:
        """Read from the API as the command line does, without a process for each look: for what is asked repeatedly."""
        answer = ask(self.home, "GET", *path)
        self.told.append(json.dumps(answer, ensure_ascii=False))
        return answer

    def start(self) -> None:
        """Found the node, run it, and wait until it is ready."""
        secret = self.home.parent / f"{self.name}.passphrase"
        _write(secret, secrets.token_hex(16))
        listen, panel = (f"127.0.0.1:{port}" for port in _free_ports(2))
        self.node_id = self.ask(
            "init", "--name", self.name, "--passphrase-file", str(secret), "--listen", listen, "--panel", panel
        )["node_id"]
        command = [*_CLI, "run", "--home", str(self.home), "--passphrase-file", str(secret)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own words
                command, cwd=self.home.parent, env=_environment(), stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self) -> None:
        """Wait until `status` says so."""
        until = time.monotonic() + START_SECONDS
        while not self._is_up():
            if self.process is None or self.process.poll() is not None or time.monotonic() > until:
                raise DemoFailed(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_SECONDS)
        self.panel = self.ask("status")["panel"]

    def _is_up(self) -> bool:
        try:
            self.look("status")
        except Problem:
            return False
        return True

    def add_person(self) -> None:
        """Let one person sign in to the panel, with the password that is printed at the end."""
        secret = self.home.parent / f"{self.name}.password"
        _write(secret, self.password)
        self.ask("person", "add", self.name, "--role", "admin", "--password-file", str(secret))

    def stop(self) -> None:
        """Ask the node to stop, and make sure that it does."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def stage() -> Iterator[tuple[Player, ...]]:
    """Three running nodes; afterwards no process and no file of theirs is left."""
    folder = Path(tempfile.mkdtemp(prefix="almenara-demo-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        players = tuple(Player(name=name, home=folder / name, log=folder / f"{name}.log") for name in NAMES)
        for player in players:
            stack.callback(player.stop)
            player.start()
        for player in players:
            player.wait_ready()
            player.add_person()
        yield players


def _environment() -> dict[str, str]:
    """Ours without what would configure the nodes otherwise than the demonstration says."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ALMENARA_")}


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
