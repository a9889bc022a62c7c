"""The node under test: a process of its own, started as people start it, pinned to one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from almenara.node.client import ask
from almenara.node.config import load_config
from tests.bench import machine
from tests.support.nodes import PASSPHRASE, make_home

if TYPE_CHECKING:
    from pathlib import Path

NODE = ("almenara.node.cli",)
PATIENCE_S = 60


class Receiver:
    """One home, and the process that runs on it."""

    def __init__(self, folder: Path, name: str, core: int) -> None:
        self.home = make_home(folder / name, name)
        self.listen = load_config(self.home).peer.listen
        self.started_in = 0.0  # seconds from the start of the process until it was ready
        self._passphrase = folder / "passphrase"
        self._passphrase.write_text(PASSPHRASE, encoding="ascii")
        self._core = core
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self, program: tuple[str, ...] = NODE) -> None:
        """Run `almenara run`, or another entry with the same arguments, until it is ready."""
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", *program, "run", "--home", str(self.home.path), "--json"),
                *("--passphrase-file", str(self._passphrase)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, {self._core})  # before it has a second thread
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        self.started_in = time.perf_counter() - begun
        assert told, f"the node on {self.home.path} did not start"
        assert json.loads(told)["state"] == "ready"

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=PATIENCE_S)
            self._process = None

    def ask(self, method: str, *path: str) -> dict[str, Any]:
        """Ask through the API, as the command line does."""
        return ask(self.home.path, method, *path)

    def held(self) -> int:
        """How many alerts it holds."""
        count: int = self.ask("GET", "status")["alerts_held"]
        return count

    def cpu_seconds(self) -> float:
        """Time on the processor so far."""
        return machine.cpu_seconds(self.pid)
