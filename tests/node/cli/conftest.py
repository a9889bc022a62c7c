"""A node that answers what a test says, and the command line in this process speaking to it."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "token-of-this-start"


@dataclass
class FakeNode:
    """Answers every request with `answers` in turn, the last one for ever, and remembers what it was asked."""

    home: Path
    answers: list[tuple[int, Any]] = field(default_factory=lambda: [(200, {})])
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)  # headers it answers with
    missing: int = 0  # bytes that it promises and never sends

    def refuse(self, kind: str, status: int = 409, **members: str) -> None:
        """Answer with a problem from now on."""
        told = {"type": f"urn:almenara:problem:{kind}", "title": "Refused by a rule", "status": status, **members}
        self.answers = [(status, told)]


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    exit: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


def _handler(node: FakeNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_file = self.headers.get("Content-Type") == "application/octet-stream"
            node.asked.append((self.command, self.path, body if is_file else json.loads(body) if body else None))
            node.headers.append(dict(self.headers))
            status, told = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
            text = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text) + node.missing))
            for name, value in node.figures.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing: the test reads stderr."""

    return Handler


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    fake = FakeNode(tmp_path / "home")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (fake.home / "run").mkdir(parents=True)
    local = {"url": f"http://127.0.0.1:{server.server_port}", "token": TOKEN, "pid": 1, "version": "0"}
    (fake.home / "run" / "local.json").write_text(json.dumps(local), encoding="utf-8")
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def almenara(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Said]:
    """`almenara("peers", "--json")` → exit code, stdout, stderr."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ALMENARA_HOME", raising=False)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["almenara", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run
