"""How the vectors of the alert body are read."""

from __future__ import annotations

from typing import Any

from almenara.protocol.alert import encode_view, parse_view


def alert(given: dict[str, Any]) -> dict[str, Any]:
    """`body` is an alert body; it must be the one encoding of the view found in it."""
    body = bytes.fromhex(given["body"])
    view = parse_view(body)
    assert encode_view(view) == body
    return {"view": view}


KINDS = {"alert": alert}
