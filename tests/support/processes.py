"""Real nodes as processes, driven through the command line and through the API that it uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from almenara.node.client import Refused, ask
from almenara.node.problem import Kind, Problem
from tests.support.nodes import PASSPHRASE, make_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 60  # Argon2id for several nodes at once on a busy machine
CLI = (sys.executable, "-P", "-m", "almenara.node.cli")


def wait(condition: Callable[[], Any], what: str) -> Any:
    """Ask until there is an answer; a test that waits in vain says what for."""
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {PATIENCE_S} s in vain: {what}"
        time.sleep(0.05)
    return found


@dataclass
class Office:
    """One organisation's node: its home, its process, its log, and every answer of its command line."""

    folder: Path
    name: str
    process: subprocess.Popen[bytes] | None = None
    told: list[bytes] = field(default_factory=list)
    within: tuple[str, ...] = ()  # what its process is run by, such as `ip netns exec NAME`

    def __post_init__(self) -> None:
        self.home = self.folder / self.name
        self.log = self.folder / f"{self.name}.log"
        self.secret = self.folder / f"{self.name}.passphrase"

    def found(self, extra: str = "", *, peer: str | None = None, **replaced: str) -> None:
        """Make the home; `extra` is added to almenara.toml, `peer` is its section, and texts in it are replaced."""
        make_home(self.home, self.name, peer)
        path = self.home / "almenara.toml"
        text = path.read_text(encoding="utf-8") + extra
        for old, new in replaced.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        self.secret.touch(mode=0o600)
        self.secret.write_text(PASSPHRASE, encoding="utf-8")

    def start(self, *words: str) -> None:
        """Run the node; `words` replace `--passphrase-file FILE`."""
        words = words or ("--passphrase-file", str(self.secret))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, *CLI, "run", "--home", str(self.home), *words],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self, state: str = "ready") -> dict[str, Any]:
        """Wait until the node says that it is."""

        def there() -> dict[str, Any] | None:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")[-2000:]
            try:
                status = self.ask("GET", "status")
            except Problem as problem:
                if problem.kind is Kind.UNREACHABLE:
                    return None
                raise
            return status if status["state"] == state else None

        found: dict[str, Any] = wait(there, f"{self.name} is {state}")
        return found

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE_S)

    def ask(self, method: str, *path: str, body: Any = None, query: str = "") -> dict[str, Any]:
        """Ask the API as the command line does. Raises `Refused`."""
        return ask(self.home, method, *path, body=body, query=query)

    def run(self, *words: str, stdin: bytes = b"") -> tuple[int, bytes]:
        """Run a command on this home; exit code, and everything it printed."""
        command = [*CLI, *words, "--home", str(self.home)]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), input=stdin, capture_output=True, check=False
        )
        self.told.append(done.stdout + done.stderr)
        return done.returncode, self.told[-1]

    def problem(self, *words: str) -> tuple[int, str]:
        """Run a command that is refused; exit code and the problem's type."""
        code, told = self.run(*words, "--json")
        return code, json.loads(told.splitlines()[0])["type"].rpartition(":")[2]

    @property
    def node_id(self) -> str:
        """Of the running node."""
        found: str = self.ask("GET", "status")["node_id"]
        return found

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("ALMENARA_")}
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return own | {"TMPDIR": str(temporary), "HOME": str(temporary)}


def pair(inviter: Office, joiner: Office) -> None:
    """Invitation, the same code on both sides, both confirm, both connected."""
    invitation = inviter.ask("POST", "invitations")["invitation"]
    code = wait(lambda: _joined(joiner, invitation), "an answer from whoever made the invitation")
    ours, theirs = inviter.node_id, joiner.node_id
    assert wait(lambda: _peer(inviter, theirs).get("code"), "a code") == code
    for office, other in ((inviter, theirs), (joiner, ours)):
        office.ask("POST", "peers", other, "confirm")
    for office, other in ((inviter, theirs), (joiner, ours)):
        wait(lambda office=office, other=other: _peer(office, other).get("connected"), "a connection")
        wait(lambda office=office, other=other: direct(office, other), "the direct circle")


def _joined(joiner: Office, invitation: str) -> str:
    """The code; nothing while the other side cannot be reached, as in the first seconds of an onion service."""
    try:
        return str(joiner.ask("POST", "peers", body={"invitation": invitation})["code"])
    except Refused as refusal:
        if refusal.kind is not Kind.UNREACHABLE:
            raise
        return ""


def _peer(office: Office, node_id: str) -> dict[str, Any]:
    return next((peer for peer in office.ask("GET", "peers")["peers"] if peer["node_id"] == node_id), {})


def direct(office: Office, other: str) -> str:
    """The circle of two with a peer, once it is active."""
    for circle in office.ask("GET", "circles")["circles"]:
        members = {member["node_id"] for member in circle["members"]}
        if circle["kind"] == "direct" and circle["state"] == "active" and other in members:
            return str(circle["circle_id"])
    return ""


def circle_of(steward: Office, others: list[Office], name: str, tier: str) -> str:
    """A group with everybody in it."""
    circle: str = steward.ask("POST", "circles", body={"name": name, "tier": tier})["circle_id"]
    for other in others:
        steward.ask("POST", "circles", circle, "members", other.node_id)
        wait(lambda other=other: _state(other, circle) == "invited", "the invitation")
        other.ask("POST", "circles", circle, "accept")
    for office in (steward, *others):
        wait(lambda office=office: _active(office, circle) == 1 + len(others), "everybody in the circle")
    return circle


def _circle(office: Office, circle_id: str) -> dict[str, Any]:
    circles = office.ask("GET", "circles")["circles"]
    return next((circle for circle in circles if circle["circle_id"] == circle_id), {})


def _state(office: Office, circle_id: str) -> str:
    return str(_circle(office, circle_id).get("state", ""))


def _active(office: Office, circle_id: str) -> int:
    return sum(member["state"] == "active" for member in _circle(office, circle_id).get("members", []))


def send(office: Office, circle_id: str, case_id: str) -> str:
    """Preview and send; returns the alert id."""
    wanted = {"case_id": case_id, "circle_id": circle_id}
    shown = office.ask("POST", "alerts", "preview", body=wanted)
    told = {"body_sha256": shown["body_sha256"], "statement": shown["statement"]}
    sent: str = office.ask("POST", "alerts", body=wanted | told)["alert_id"]
    return sent


def settled(office: Office, alert_id: str) -> None:
    """Wait until every recipient has stored an alert of ours."""

    def stored() -> bool:
        return {one["state"] for one in office.ask("GET", "alerts", alert_id)["recipients"]} == {"stored"}

    wait(stored, "stored everywhere")


def arrived(office: Office, alert_id: str) -> None:
    """Wait until somebody's alert stands in the inbox."""
    wait(lambda: alert_id in {one["alert_id"] for one in office.ask("GET", "inbox")["alerts"]}, "the alert")


__all__ = ["Office", "Refused", "arrived", "circle_of", "direct", "pair", "send", "settled", "wait"]
