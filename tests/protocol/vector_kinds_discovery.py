"""Readers of the vectors of discovery; see `vector_kinds_objects`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.protocol.discovery import discovery_tag, parse_notice

from .vector_kinds_objects import octets

if TYPE_CHECKING:
    from collections.abc import Callable


def read_tag(given: dict[str, Any]) -> dict[str, Any]:
    found = discovery_tag(octets(given, "carry_secret"), given["hour"], NodeId(octets(given, "announcer")))
    return {"tag": found.hex()}


def read_notice(given: dict[str, Any]) -> dict[str, Any]:
    return {"tags": b"".join(sorted(parse_notice(octets(given, "notice")))).hex()}


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "discovery-tag": read_tag,
    "discovery-notice": read_notice,
}
