"""Speaking to the node that runs on this home, by the address and the token in run/local.json (SCHEMAS §7)."""

from __future__ import annotations

import http.client
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

API = "/api/v1"
FILE_PATIENCE_S = 3600  # a large bundle is made before its first byte comes, and taken in before the answer
FILE_PIECE = 256 * 1024  # bytes of a file read at a time
PATIENCE_S = 120  # the node itself gives up sooner: pairing after 30 s, over Tor 55, a circle's key after 10 s


class Refused(Problem):
    """A problem that the node answered; passed on exactly as it came."""

    def __init__(self, told: dict[str, Any]) -> None:
        kind = str(told.get("type", "")).rpartition(":")[2]
        super().__init__(Kind(kind) if kind in set(Kind) else Kind.INTERNAL)
        self.told = told

    def as_json(self) -> dict[str, Any]:
        """As it came."""
        return self.told


def ask(
    home: Path,
    method: str,
    *path: str,
    body: Any = None,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    patience: float = PATIENCE_S,
) -> dict[str, Any]:
    """Ask the running node; `path` is given in parts, so that an identifier cannot become another route.

    `body` is JSON in bytes, anything that can be made JSON, or an open file, which goes as it is.
    Raises `Refused` with the node's problem, `Problem(UNREACHABLE)` where no node answers.
    """
    with _asked(home, method, path, body, query, headers or {}, patience) as response:
        try:
            told = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            raise _nobody(home) from None
    if not isinstance(told, dict):
        raise _nobody(home)
    return told


def fetch(home: Path, *path: str, body: Any, into: BinaryIO) -> Mapping[str, str]:
    """Ask for a file, write it into `into` as it comes, and give the headers it came with. Raises as `ask` does."""
    with _asked(home, "POST", path, body, "", {}, FILE_PATIENCE_S) as response:
        missing = response.length or 0
        while part := _piece(home, response):
            into.write(part)
            missing -= len(part)
        if missing:  # the node went away; http.client says nothing of that
            raise _nobody(home)
        return dict(response.headers)


def _piece(home: Path, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(FILE_PIECE)
    except (OSError, http.client.HTTPException):
        raise _nobody(home) from None


@contextmanager
def _asked(
    home: Path, method: str, path: tuple[str, ...], body: Any, query: str, headers: Mapping[str, str], patience: float
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request, unless it is a refusal."""
    url, token = _local(home)
    data = body if body is None or isinstance(body, bytes) or hasattr(body, "read") else _json(body)
    kind = "application/octet-stream" if hasattr(data, "read") else "application/json"
    own = {"Authorization": f"Bearer {token}", "Accept": "application/json", **headers}
    parts = urlsplit(url)
    target = "/".join([API, *(quote(part, safe="") for part in path)]) + query
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    try:
        connection.request(method, target, body=data, headers=own if data is None else own | {"Content-Type": kind})
        response = connection.getresponse()
        told = json.loads(response.read()) if response.status >= http.client.BAD_REQUEST else None
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        raise _nobody(home) from None
    try:
        if told is not None:
            raise Refused(told) if isinstance(told, dict) else _nobody(home)
        yield response
    finally:
        connection.close()


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def _local(home: Path) -> tuple[str, str]:
    try:
        told = json.loads((home / "run" / "local.json").read_text(encoding="utf-8"))
        return str(told["url"]), str(told["token"])
    except (OSError, ValueError, KeyError, TypeError):
        raise _nobody(home) from None


def _nobody(home: Path) -> Problem:
    return Problem(
        Kind.UNREACHABLE,
        f"No running node answers for {home}",
        next="Start it with `almenara run`, or name another home with --home",
    )
