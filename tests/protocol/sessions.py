"""Two sessions and the line between them, for the tests of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.scope import scope
from almenara.protocol.session import (
    DECOY_BYTES,
    Session,
)

from .circles import ANA, BEN
from .nodes import NOW, seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.protocol.session import Event

CIRCLE, STATEMENT = seed("circle", 16), seed("statement", 16)
EPOCHS = {"ana": seed("log of ana", 16), "ben": seed("log of ben", 16)}
ENVELOPE = bytes(4_096)
SHARED = [scope(seed("shared"), week) for week in range(3)]
ANAS = [scope(seed("only ana's"), 1)]
BENS = [scope(seed("only ben's"), 1)]
decoys = seed("decoys", DECOY_BYTES)


class Pair:
    """Two sessions and the line between them; each side's events are kept in order."""

    def __init__(self) -> None:
        self.ana = Session(ANA, BEN, seed("nonce of ana"), EPOCHS["ana"])
        self.ben = Session(BEN, ANA, seed("nonce of ben"), EPOCHS["ben"])
        self.at_ana: list[Event] = []
        self.at_ben: list[Event] = []

    def to_ben(self, *frames: bytes) -> list[Event]:
        """Deliver what Ana said."""
        events = [event for frame in frames for event in self.ben.receive(frame, NOW)]
        self.at_ben += events
        return events

    def to_ana(self, *frames: bytes) -> list[Event]:
        """Deliver what Ben said."""
        events = [event for frame in frames for event in self.ana.receive(frame, NOW)]
        self.at_ana += events
        return events

    def greet(self) -> Pair:
        """Exchange HELLO."""
        self.to_ben(self.ana.hello(NOW))
        self.to_ana(self.ben.hello(NOW + 5))
        return self

    def open(self) -> Pair:
        """Exchange HELLO, INTEREST and CURSORS."""
        self.greet()
        self.ana.set_scopes([*SHARED, *ANAS])
        self.ben.set_scopes([*BENS, *SHARED])
        self.to_ben(self.ana.interest(decoys), self.ana.cursors({}))
        self.to_ana(self.ben.interest(decoys), self.ben.cursors({}))
        return self


def refused(kind: Defect, call: Callable[..., Any], *given: Any) -> None:
    """Expect the other side to be blamed for this."""
    with pytest.raises(RemoteError) as caught:
        call(*given)
    assert caught.value.kind is kind


def forbidden(kind: Defect, call: Callable[..., Any], *given: Any) -> None:
    """Expect ourselves to be blamed for this."""
    with pytest.raises(LocalError) as caught:
        call(*given)
    assert caught.value.kind is kind


def raw(values: list[Any]) -> bytes:
    import msgpack  # noqa: PLC0415 - only here: a frame that our own codec refuses to write

    packed: bytes = msgpack.packb(values)
    return packed
