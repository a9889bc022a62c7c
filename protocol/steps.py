"""Dealing what one step of a repair says into frames that are small enough to let a critical push pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almenara.protocol.idsets import Bound, Key, SetKey, first_hour
from almenara.protocol.messages import MAX_RANGE_FRAME, MAX_RANGE_SETS, Ranges, RangeSet
from almenara.protocol.ranges import MAX_RANGE_BYTES, Range, encode_range

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRAME_ROOM: Final = MAX_RANGE_FRAME - 16  # bytes for sets: kind, hour, last and the length of the list taken off
_SET_BYTES: Final = 36  # what frames one set at most: tag, numbers and lengths
_LEAST_ROOM: Final = _SET_BYTES + MAX_RANGE_BYTES  # below this a frame is full


@dataclass(slots=True)
class Answer:
    """What one step says of one set."""

    coming: int = 0
    """Envelopes that will be pushed because of this step."""
    lacking: list[bool] = field(default_factory=list)
    """For each id that the other side listed in its step, whether it is lacking here."""
    ranges: list[Range] = field(default_factory=list)
    listed: list[Key] = field(default_factory=list)
    """The ids in the lists among the ranges, in order."""


def pack_step(hour: int, answers: Mapping[SetKey, Answer]) -> list[Ranges]:
    """Return the frames of one step, of answers in rising order; one frame even if there is nothing to say."""
    frames = _Frames()
    for key, answer in answers.items():
        frames.put(key, first_hour(key[1], hour), answer)
    last = len(frames.sets) - 1
    return [Ranges(hour=hour, last=at == last, sets=tuple(sets)) for at, sets in enumerate(frames.sets)]


class _Frames:
    """Frames that fill up one after another; a set that does not fit goes on in the next."""

    def __init__(self) -> None:
        self.sets: list[list[RangeSet]] = [[]]
        self._room = _FRAME_ROOM

    def put(self, key: SetKey, first: int, answer: Answer) -> None:
        bits, coming, done = _bits(answer.lacking), answer.coming, 0
        while bits or coming or done < len(answer.ranges):
            if self._room < _LEAST_ROOM or len(self.sets[-1]) == MAX_RANGE_SETS:
                self.sets.append([])
                self._room = _FRAME_ROOM
            room = self._room - _SET_BYTES
            told, bits = bits[:room], bits[room:]
            start = answer.ranges[done].span[0][0] if done < len(answer.ranges) else first
            said, done = _fill(answer.ranges, done, (start, b""), 0 if bits else room - len(told))
            entry = RangeSet(key[0], key[1], start - first, coming, told, said)
            self.sets[-1].append(entry)
            self._room = room - len(told) - len(said)
            coming = 0


def _fill(ranges: list[Range], done: int, at: Bound, room: int) -> tuple[bytes, int]:
    """Encode as many ranges as there is room for; return them and how many are done."""
    said = bytearray()
    while done < len(ranges):
        encoded = encode_range(ranges[done], at)
        if len(said) + len(encoded) > room:
            break
        said += encoded
        at = ranges[done].span[1]
        done += 1
    return bytes(said), done


def _bits(flags: list[bool]) -> bytes:
    """The lowest bit first; nothing where no flag is set."""
    if not any(flags):
        return b""
    number = sum(1 << place for place, flag in enumerate(flags) if flag)
    return number.to_bytes((number.bit_length() + 7) // 8, "little")
