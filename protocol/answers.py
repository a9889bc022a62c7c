"""The answer to KEYREQ, dealt into as many frames as it needs (PROTOCOL §5.8)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from almenara.protocol.limits import MAX_FRAME
from almenara.protocol.messages import MAX_INTRODUCTIONS_TOLD, MAX_STATEMENTS_TOLD, Keys

if TYPE_CHECKING:
    from collections.abc import Sequence

_FRAME_ROOM: Final = MAX_FRAME - 64  # bytes for the items of one KEYS: kind, circle and lengths of lists taken off
_ITEM_BYTES: Final = 5  # what frames one item at most


def split_keys(circle: bytes, statements: Sequence[bytes], introductions: Sequence[bytes], packet: bytes) -> list[Keys]:
    """Deal statements, then introductions, then the packet, into messages that each fit a frame."""
    parts: list[Keys] = []
    told: list[bytes] = []
    introduced: list[bytes] = []
    room = _FRAME_ROOM
    for item, into, most in (
        *((statement, told, MAX_STATEMENTS_TOLD) for statement in statements),
        *((introduction, introduced, MAX_INTRODUCTIONS_TOLD) for introduction in introductions),
    ):
        if len(item) + _ITEM_BYTES > room or len(into) == most:
            parts.append(Keys(circle=circle, statements=tuple(told), introductions=tuple(introduced), packet=b""))
            told.clear()
            introduced.clear()
            room = _FRAME_ROOM
        into.append(item)
        room -= len(item) + _ITEM_BYTES
    last = Keys(circle=circle, statements=tuple(told), introductions=tuple(introduced), packet=packet)
    if len(packet) + _ITEM_BYTES <= room:
        return [*parts, last]
    return [*parts, replace(last, packet=b""), Keys(circle=circle, statements=(), introductions=(), packet=packet)]
