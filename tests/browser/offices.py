"""Organisations with a real node each: the installed command, real processes, free loopback ports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from tests.support.nodes import free_port

if TYPE_CHECKING:
    from types import TracebackType

PASSPHRASE = "four unrelated words here"
PASSWORD = "another few plain words"
PERSON = "Lucía"
CODE = re.compile(r"\b\d{4} \d{4} \d{4}\b")
ALMENARA = str(Path(sys.executable).with_name("almenara"))


@dataclass
class Office:
    """One organisation's running node."""

    home: Path
    name: str
    port: int
    process: subprocess.Popen[str]
    first_code: str

    @classmethod
    def open(cls, folder: Path, name: str) -> Self:
        """Found a node and start it; returns when it has printed the code for its first person."""
        home, port, secret = folder / name, free_port(), folder / f"{name}.passphrase"
        secret.write_text(PASSPHRASE + "\n", encoding="utf-8")
        words = ["--home", str(home), "--passphrase-file", str(secret)]
        places = ["--listen", f"127.0.0.1:{free_port()}", "--panel", f"127.0.0.1:{port}"]
        subprocess.run([ALMENARA, "init", "--name", name, *words, *places], check=True, capture_output=True)
        process = subprocess.Popen(
            [ALMENARA, "run", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )
        try:
            return cls(home, name, port, process, _printed_code(cast("IO[str]", process.stdout)))
        except RuntimeError:
            process.communicate()
            raise

    @property
    def url(self) -> str:
        """The panel's address."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.communicate()

    def ask(self, *words: str) -> dict[str, Any]:
        """Run a command against this node and read its answer."""
        done = subprocess.run(
            [ALMENARA, *words, "--home", str(self.home), "--json"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def let_in(self, name: str, role: str) -> None:
        """Let somebody sign in to the panel."""
        secret = self.home.parent / f"{self.name}.password"
        secret.write_text(PASSWORD + "\n", encoding="utf-8")
        self.ask("person", "add", name, "--role", role, "--password-file", str(secret))


def _printed_code(output: IO[str]) -> str:
    said = []
    for line in output:
        said.append(line)
        if found := CODE.search(line):
            return found[0]
    raise RuntimeError("the node ended: " + "".join(said))


def pair(one: Office, other: Office) -> None:
    """Pair two nodes and confirm on both sides."""
    invitation = one.ask("invite")["invitation"]
    met = other.ask("pair", invitation)
    own_id = other.ask("status")["node_id"]
    other.ask("peers", "confirm", met["node_id"])
    one.ask("peers", "confirm", own_id)
