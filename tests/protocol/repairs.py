"""Sets and both sides of a repair, for the tests of repair."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from almenara.protocol.idsets import EMPTY, Frozen, IdSet, SetKey, first_hour
from almenara.protocol.messages import Ranges, encode_message, parse_message
from almenara.protocol.reconcile import Difference, Repair

from .nodes import NOW, seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    Item = tuple[bytes, int, int, bytes]  # tag, class, hour, id

HOUR = NOW // 60
KEY = seed("key of a session")
TAGS = tuple(seed(f"tag {number}", 16) for number in range(3))


def frozen(items: Iterable[Item], tags: Iterable[bytes] = TAGS, hour: int = HOUR) -> dict[SetKey, Frozen]:
    """Sets of these items, for all tags and both classes."""
    stores: dict[SetKey, IdSet] = {}
    for tag, cls, at, found in items:
        stores.setdefault((tag, cls), IdSet()).add(at, found)
    keys = [(tag, cls) for tag in tags for cls in (0, 1)]
    return {key: stores[key].freeze(first_hour(key[1], hour)) if key in stores else EMPTY for key in keys}


@dataclass
class Both:
    """A starter and its peer, over sets that may be replaced while a run goes on."""

    starters: dict[SetKey, Frozen]
    peers: dict[SetKey, Frozen]
    frames: list[bytes] = field(default_factory=list)
    """Everything that was said, ROOTS first."""
    steps: int = 0

    def __post_init__(self) -> None:
        self.starter, self.peer = Repair(starts=True, key=KEY), Repair(starts=False, key=KEY)

    def run(self) -> tuple[Difference, Difference] | None:
        """Compare roots; repair if they differ, and return what starter and peer learned."""
        roots = self.peer.roots(self.peers, HOUR)
        self.frames.append(encode_message(roots))
        if not self.starter.differs(roots, self.starters):
            return None
        turn, said = 0, self.starter.start(self.starters, HOUR)
        while said:
            self.steps += 1
            said = self._hear((self.peer, self.starter)[turn], said)
            turn = 1 - turn
        found = self.starter.finish(), self.peer.finish()
        assert found[0] is not None
        assert found[1] is not None
        return found[0], found[1]

    def _hear(self, side: Repair, said: list[Ranges]) -> list[Ranges]:
        frames = [encode_message(each) for each in said]
        self.frames += frames
        answers = [side.take(_parsed(frame), lambda _: self.peers) for frame in frames]
        assert not any(answers[:-1])
        return answers[-1]


def _parsed(frame: bytes) -> Ranges:
    message = parse_message(frame)
    assert isinstance(message, Ranges)
    return message


def ids(found: Difference) -> set[tuple[int, bytes]]:
    """What the other side lacks."""
    assert len(set(found.lacking)) == len(found.lacking)
    return set(found.lacking)
