"""Announcements, credits and parts, between two honest sessions and against a dishonest one (DESIGN §6)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.protocol.codec import encode
from almenara.protocol.errors import Defect
from almenara.protocol.flow import (
    INITIAL_CREDIT,
    MAX_ANNOUNCED,
    MAX_TOLD,
    Announced,
    Granted,
    Wanted,
    cost,
    parts_of,
)
from almenara.protocol.limits import LARGE, MEDIUM, SMALL
from almenara.protocol.messages import encode_message, parse_message
from almenara.protocol.session import Outcome, Pushed

from .nodes import NOW, seed
from .sessions import ENVELOPE, Pair, forbidden, refused

if TYPE_CHECKING:
    from almenara.protocol.session import Event, Session

ID = seed("envelope id")


def in_parts(session: Session, position: int, envelope: bytes) -> list[bytes]:
    pieces = parts_of(envelope)
    return [session.part(position, len(pieces) - number, piece) for number, piece in enumerate(pieces, 1)]


def test_what_is_announced_is_asked_for_and_pushed() -> None:
    pair = Pair().open()
    assert pair.to_ben(pair.ana.have([(1, 3, ID)])) == [Announced(places=((1, 3, ID),))]
    assert pair.to_ana(pair.ben.want([(1, 3)])) == [Wanted(places=((1, 3),))]
    assert pair.to_ben(pair.ana.push(1, 3, ENVELOPE)) == [Pushed(lane=1, position=3, envelope=ENVELOPE)]


def test_what_is_announced_may_be_acknowledged_without_a_push() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.have([(1, 3, ID)]))
    assert len(pair.to_ana(pair.ben.ack(1, 3, [(3, Outcome.STORED)]))) == 1
    forbidden(Defect.OUT_OF_RANGE, pair.ben.want, [(1, 3)])


def test_only_what_was_announced_may_be_asked_for_and_once() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.have([(1, 3, ID)]), pair.ana.push(1, 4, ENVELOPE))
    for places in ([[1, 2]], [[0, 3]], [[1, 4]], [[1, 3], [1, 4]]):
        refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([12, places]), NOW)
    pair.to_ana(pair.ben.want([(1, 3)]))
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([12, [[1, 3]]]), NOW)
    forbidden(Defect.OUT_OF_RANGE, pair.ben.want, [(1, 3)])


def test_a_push_and_a_question_for_it_may_cross() -> None:
    """Whoever announced may push unasked, and the question that was on its way offends nobody."""
    pair = Pair().open()
    pair.to_ben(pair.ana.have([(1, 3, ID)]))
    asked, pushed = pair.ben.want([(1, 3)]), pair.ana.push(1, 3, ENVELOPE)
    assert len(pair.to_ana(asked) + pair.to_ben(pushed)) == 2


def test_announcements_without_an_answer_are_bounded_on_both_sides() -> None:
    pair = Pair().open()
    for first in range(0, MAX_ANNOUNCED - 64, 64):
        pair.to_ben(pair.ana.have([(1, first + number, ID) for number in range(64)]))
    pair.to_ben(pair.ana.have([(1, MAX_ANNOUNCED - number, ID) for number in range(1, 65)]))
    assert pair.ana.room == 0
    forbidden(Defect.TOO_LARGE, pair.ana.have, [(1, MAX_ANNOUNCED, ID)])
    refused(Defect.TOO_LARGE, pair.ben.receive, encode([11, [[1, MAX_ANNOUNCED, ID]]]), NOW)
    pair.to_ana(pair.ben.ack(1, 0, [(0, Outcome.STORED)]))
    assert pair.ana.room == 1


def test_nobody_announces_twice_or_too_much_at_once() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.have([(1, 3, ID)]))
    forbidden(Defect.REPEATED, pair.ana.have, [(1, 3, ID)])
    forbidden(Defect.WRONG_COUNT, pair.ana.have, [(0, number, ID) for number in range(MAX_TOLD + 1)])


@pytest.mark.parametrize("lane", [0, 1])
def test_credit_ends_and_comes_back_with_what_was_committed(lane: int) -> None:
    pair = Pair().open()
    count = INITIAL_CREDIT[lane] // SMALL
    for position in range(1, count + 1):
        pair.to_ben(pair.ana.push(lane, position, ENVELOPE))
    assert pair.ana.credit(lane) == 0
    forbidden(Defect.OVER_CREDIT, pair.ana.push, lane, count + 1, ENVELOPE)
    refused(Defect.OVER_CREDIT, pair.ben.receive, encode([4, lane, count + 1, b""]), NOW)
    assert pair.to_ana(pair.ben.grant(lane, SMALL)) == [Granted(lane=lane, amount=SMALL)]
    assert len(pair.to_ben(pair.ana.push(lane, count + 1, b""))) == 1


def test_one_lane_has_no_credit_for_the_other() -> None:
    pair = Pair().open()
    for position in range(INITIAL_CREDIT[1] // SMALL):
        pair.to_ben(pair.ana.push(1, position, ENVELOPE))
    assert pair.to_ben(pair.ana.push(0, 9_999, bytes(LARGE)))


def test_no_more_is_granted_than_was_taken() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.push(1, 1, ENVELOPE))
    forbidden(Defect.OUT_OF_RANGE, pair.ben.grant, 1, SMALL + 1)
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([13, 1, SMALL + 1]), NOW)
    refused(Defect.OUT_OF_RANGE, pair.ana.receive, encode([13, 0, 1]), NOW)


@pytest.mark.parametrize("size", [MEDIUM, LARGE])
def test_a_large_routine_envelope_goes_in_parts_and_a_critical_one_between_them(size: int) -> None:
    pair = Pair().open()
    envelope = bytes(range(256)) * (size // 256)
    frames = in_parts(pair.ana, 5, envelope)
    assert max(map(len, frames)) < SMALL + 32
    frames.insert(2, pair.ana.push(0, 6, ENVELOPE))
    assert pair.to_ben(*frames) == [
        Pushed(lane=0, position=6, envelope=ENVELOPE),
        Pushed(lane=1, position=5, envelope=envelope),
    ]
    assert pair.ana.credit(1) == INITIAL_CREDIT[1] - size


def test_a_large_envelope_in_one_piece_is_for_the_critical_lane_only() -> None:
    pair = Pair().open()
    forbidden(Defect.TOO_LARGE, pair.ana.push, 1, 1, bytes(MEDIUM))
    refused(Defect.TOO_LARGE, pair.ben.receive, encode([4, 1, 1, bytes(MEDIUM)]), NOW)
    assert pair.to_ben(pair.ana.push(0, 1, bytes(LARGE)))


def test_we_keep_to_the_order_of_parts_ourselves() -> None:
    pair = Pair().open()
    pair.ana.part(5, 3, ENVELOPE)
    forbidden(Defect.WRONG_ORDER, pair.ana.push, 1, 6, ENVELOPE)
    forbidden(Defect.WRONG_ORDER, pair.ana.part, 6, 2, ENVELOPE)
    forbidden(Defect.WRONG_ORDER, pair.ana.part, 5, 1, ENVELOPE)
    assert pair.ana.part(5, 2, ENVELOPE)


places = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32)),
    min_size=1,
    max_size=MAX_TOLD,
    unique=True,
).map(sorted)


@given(places)
def test_a_have_reads_as_it_was_written(told: list[tuple[int, int, bytes]]) -> None:
    frame = encode([11, [list(place) for place in told]])
    message = parse_message(frame)
    assert message.slots() == ([list(place) for place in told],)
    assert encode_message(message) == frame
    assert len(frame) < SMALL + 64


class Line:
    """One direction of a line on which frames may still be on their way, and what its pusher did."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.frames: deque[bytes] = deque()
        self.position = 0
        self.got: list[int] = []  # positions that arrived at the other end
        self.debt = [0, 0]
        self.parts: deque[tuple[int, int, bytes]] = deque()  # of the one envelope that is under way in parts

    def act(self, action: int, lane: int) -> None:
        """Push, announce, or go on with parts, if an honest pusher may."""
        self.position += 1
        if action == 0 and self.session.credit(lane) >= SMALL and not (lane == 1 and self.parts):
            self.frames.append(self.session.push(lane, self.position, ENVELOPE))
        elif action == 1 and self.session.room:
            self.frames.append(self.session.have([(lane, self.position, ID)]))
        elif action == 2 and (self.parts or self.session.credit(1) >= MEDIUM):
            if not self.parts:
                self.parts.extend((self.position, left, ENVELOPE) for left in (3, 2, 1, 0))
            self.frames.append(self.session.part(*self.parts.popleft()))

    def hear(self, event: Event) -> list[bytes]:
        """Answer as an honest receiver: even positions are there already, odd ones are asked for."""
        match event:
            case Pushed():
                self.got.append(event.position)
                self.debt[event.lane] += cost(event.envelope)
                answers = [self.session.ack(event.lane, 0, [(event.position, Outcome.STORED)])]
                if self.debt[event.lane] >= 8 * SMALL:
                    answers.append(self.session.grant(event.lane, self.debt[event.lane]))
                    self.debt[event.lane] = 0
                return answers
            case Announced(places=told):
                lane, position, _ = told[0]
                if position % 2:
                    return [self.session.want([(lane, position)])]
                return [self.session.ack(lane, 0, [(position, Outcome.STORED)])]
            case Wanted(places=((lane, position),)) if not (lane == 1 and self.parts) and self.session.credit(lane):
                return [self.session.push(lane, position, ENVELOPE)]
        return []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 1)), max_size=150))
def test_two_honest_sides_never_offend_each_other_whatever_is_on_the_way(script: list[tuple[bool, int, int]]) -> None:
    pair = Pair().open()
    lines: dict[bool, Any] = {True: Line(pair.ana), False: Line(pair.ben)}
    for ana, action, lane in script:
        if action < 3:
            lines[ana].act(action, lane)
        elif lines[ana].frames:
            for event in lines[not ana].session.receive(lines[ana].frames.popleft(), NOW):
                lines[not ana].frames.extend(lines[not ana].hear(event))
    while lines[True].frames or lines[False].frames:
        for ana in (True, False):
            if lines[ana].frames:
                for event in lines[not ana].session.receive(lines[ana].frames.popleft(), NOW):
                    lines[not ana].frames.extend(lines[not ana].hear(event))
    for ana in (True, False):
        spent = [INITIAL_CREDIT[lane] - lines[ana].session.credit(lane) for lane in (0, 1)]
        unfinished = 4 * SMALL - len(lines[ana].parts) * SMALL if lines[ana].parts else 0
        assert spent == [lines[not ana].debt[0], lines[not ana].debt[1] + unfinished]
