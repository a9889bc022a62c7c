"""Speaking to the node that runs on this home, by the address and the token in run/local.json (SCHEMAS §7)."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from pathlib import Path

API = "/api/v1"
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


def ask(home: Path, method: str, *path: str, body: Any = None, query: str = "") -> dict[str, Any]:
    """Ask the running node; `path` is given in parts, so that an identifier cannot become another route.

    Raises `Refused` with the node's problem, `Problem(UNREACHABLE)` where no node answers.
    """
    url, token = _local(home)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    data = body if isinstance(body, bytes | None) else json.dumps(body, ensure_ascii=False).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    parts = urlsplit(url)
    target = "/".join([API, *(quote(part, safe="") for part in path)]) + query
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request(method, target, body=data, headers=headers)
        response = connection.getresponse()
        told = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        raise _nobody(home) from None
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise _nobody(home)
    if response.status >= http.client.BAD_REQUEST:
        raise Refused(told)
    return told


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
