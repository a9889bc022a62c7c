"""What may be said when, and what becomes of everything else: the state table of sessions (PROTOCOL §6)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.protocol.codec import encode
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MAX_FRAME
from almenara.protocol.messages import Kind, Ranges, Roots, encode_message, parse_message
from almenara.protocol.scope import proof
from almenara.protocol.session import (
    TRANSITIONS,
    KeysAsked,
    Outcome,
    Pushed,
    Session,
    State,
)

from .circles import ANA
from .nodes import NOW, seed
from .sessions import CIRCLE, ENVELOPE, EPOCHS, SHARED, Pair, decoys, forbidden, raw, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.protocol.session import Event

# Order: the same table binds what is heard and what is said.

FRAMES: dict[Kind, bytes] = {
    Kind.HELLO: encode([1, [1], seed("nonce of ben"), EPOCHS["ben"], NOW]),
    Kind.INTEREST: encode([2, [bytes([number]) * 16 for number in range(16)]]),
    Kind.CURSORS: encode([3, []]),
    Kind.PUSH: encode([4, 0, 1, ENVELOPE]),
    Kind.ACK: encode([5, 0, 0, []]),
    Kind.KEYREQ: encode([6, CIRCLE, b""]),
    Kind.KEYS: encode([7, CIRCLE, [], [], b""]),
    Kind.BYE: encode([8, 0, 0]),
    Kind.ROOTS: encode([9, 7, bytes(16)]),
    Kind.RANGE: encode([10, 7, 1, []]),
    Kind.HAVE: encode([11, [[1, 1, seed("envelope id")]]]),
    Kind.WANT: encode([12, [[1, 9]]]),
    Kind.CREDIT: encode([13, 0, 4_096]),
    Kind.PART: encode([14, 1, 1, 3, bytes(4_096)]),
    Kind.CARRY: encode([15, []]),
    Kind.CARRYING: encode([16, 0, 0]),
}
WAY: dict[State, list[Kind]] = {
    State.SILENT: [],
    State.GREETED: [Kind.HELLO],
    State.PROVED: [Kind.HELLO, Kind.INTEREST],
    State.OPEN: [Kind.HELLO, Kind.INTEREST, Kind.CURSORS],
    State.ENDED: [Kind.HELLO, Kind.BYE],
}
ALLOWED = {
    State.SILENT: {Kind.HELLO, Kind.BYE},
    State.GREETED: {Kind.INTEREST, Kind.BYE},
    State.PROVED: {Kind.INTEREST, Kind.CURSORS, Kind.BYE},
    State.OPEN: set(Kind) - {Kind.HELLO, Kind.CURSORS},
    State.ENDED: set(),
}


def hearing(state: State) -> Session:
    """Ana's session when Ben has come to this state; one of everything that is answered is open on her side."""
    pair = Pair().open() if state is State.OPEN else Pair()
    if state is State.OPEN:
        pair.ana.keyreq(CIRCLE, b"")
        pair.ana.have([(1, 9, seed("envelope id"))])
        pair.ana.push(0, 0, ENVELOPE)
        pair.ana.carry([])
        return pair.ana
    for kind in WAY[state]:
        pair.ana.receive(FRAMES[kind], NOW)
    return pair.ana


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_what_a_peer_may_say_in_each_state(state: State, kind: Kind) -> None:
    if kind in ALLOWED[state]:
        events = hearing(state).receive(FRAMES[kind], NOW)
        assert len(events) == (0 if kind is Kind.PART else 1)  # the first part of four means nothing yet
    else:
        refused(Defect.WRONG_ORDER, hearing(state).receive, FRAMES[kind], NOW)


def saying(state: State) -> Session:
    """Ana's session when she herself has come to this state and Ben is ready for anything."""
    session = Pair().ana
    for kind in WAY[State.OPEN]:
        session.receive(FRAMES[kind], NOW)
    for kind in (Kind.KEYREQ, Kind.HAVE, Kind.PUSH, Kind.CARRY):
        session.receive(FRAMES[kind], NOW)
    for kind in WAY[state]:
        say(session, kind)
    return session


def say(session: Session, kind: Kind) -> object:
    """Say something of this kind."""
    calls: dict[Kind, Callable[[], object]] = {
        Kind.HELLO: lambda: session.hello(NOW),
        Kind.INTEREST: lambda: session.interest(decoys),
        Kind.CURSORS: lambda: session.cursors({}),
        Kind.PUSH: lambda: session.push(0, 1, ENVELOPE),
        Kind.ACK: lambda: session.ack(0, 0, []),
        Kind.KEYREQ: lambda: session.keyreq(CIRCLE, b""),
        Kind.KEYS: lambda: session.keys(CIRCLE, [], [], b""),
        Kind.BYE: lambda: session.bye(0, 0),
        Kind.ROOTS: lambda: session.say_roots(Roots(hour=7, root=bytes(16))),
        Kind.RANGE: lambda: session.say_ranges(Ranges(hour=7, last=True, sets=())),
        Kind.HAVE: lambda: session.have([(1, 9, seed("envelope id"))]),
        Kind.WANT: lambda: session.want([(1, 1)]),
        Kind.CREDIT: lambda: session.grant(0, 4_096),
        Kind.PART: lambda: session.part(1, 3, bytes(4_096)),
        Kind.CARRY: lambda: session.carry([]),
        Kind.CARRYING: lambda: session.carrying(0, 0),
    }
    return calls[kind]()


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_what_we_may_say_in_each_state(state: State, kind: Kind) -> None:
    if kind in ALLOWED[state]:
        assert say(saying(state), kind)
    else:
        forbidden(Defect.WRONG_ORDER, say, saying(state), kind)


def test_the_table_knows_every_state_and_leads_only_onward() -> None:
    assert set(TRANSITIONS) == set(State)
    order = list(State)
    for state, row in TRANSITIONS.items():
        assert all(order.index(following) >= order.index(state) for following in row.values())


def test_a_refused_frame_changes_nothing() -> None:
    pair = Pair().greet()
    refused(Defect.WRONG_ORDER, pair.ana.receive, FRAMES[Kind.PUSH], NOW)
    assert pair.to_ana(pair.ben.interest(decoys))


def test_a_refused_word_of_ours_changes_nothing() -> None:
    pair = Pair().greet()
    forbidden(Defect.WRONG_ORDER, pair.ana.push, 0, 1, ENVELOPE)
    forbidden(Defect.OUT_OF_RANGE, Pair().open().ana.push, 2, 1, ENVELOPE)
    forbidden(Defect.WRONG_LENGTH, Pair().open().ana.push, 0, 1, bytes(MAX_FRAME))
    assert pair.to_ben(pair.ana.interest(decoys))


# Whatever comes is understood or refused, and nothing else happens.


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", Defect.MALFORMED),
        (b"\x90", Defect.WRONG_COUNT),
        (b"\x01", Defect.WRONG_TYPE),
        (encode([b"1"]), Defect.WRONG_TYPE),
        (encode([0]), Defect.UNKNOWN_KIND),
        (encode([17, b"reserved"]), Defect.UNKNOWN_KIND),
        (encode([8, 0]), Defect.WRONG_COUNT),
        (encode([8, 0, 86_401]), Defect.OUT_OF_RANGE),
        (b"\x93\x08\x00\xcd\x00\x00", Defect.NOT_CANONICAL),
        (bytes(MAX_FRAME + 1), Defect.TOO_LONG),
    ],
)
def test_a_frame_is_refused(frame: bytes, kind: Defect) -> None:
    refused(kind, Pair().open().ana.receive, frame, NOW)


values = st.recursive(
    st.integers(-1, 2**33) | st.binary(max_size=40) | st.text(max_size=8) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(State)), st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_remote_error(state: State, frame: bytes) -> None:
    _take(hearing(state), frame)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(State)), st.integers(0, 15), st.lists(values, max_size=5))
def test_any_array_is_an_event_or_a_remote_error(state: State, kind: int, slots: list[Any]) -> None:
    _take(hearing(state), raw([kind, *slots]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(FRAMES.values())), st.integers(0, 199), st.integers(0, 255))
def test_a_good_frame_with_one_byte_changed_is_an_event_or_a_remote_error(frame: bytes, at: int, byte: int) -> None:
    mutated = bytearray(frame)
    mutated[at % len(frame)] = byte
    for state in State:
        _take(hearing(state), bytes(mutated))


def _take(session: Session, frame: bytes) -> None:
    try:
        session.receive(frame, NOW)
    except RemoteError:
        return
    assert encode_message(parse_message(frame)) == frame


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=40))
def test_two_honest_sessions_never_offend_each_other(script: list[tuple[bool, int]]) -> None:
    """Whatever two sides do in turn, with frames still on the way, neither is ever refused."""
    pair = Pair().open()
    lines: dict[bool, deque[bytes]] = {True: deque(), False: deque()}
    pushed = {True: 0, False: 0}
    for ana, action in script:
        session, position = (pair.ana if ana else pair.ben), pushed[ana]
        match action:
            case 0:
                pushed[ana] += 1
                lines[ana].append(session.push(0, position + 1, ENVELOPE))
            case 1:
                session.set_scopes(SHARED[: position % 3])
                lines[ana].append(session.interest(decoys))
            case 2:
                lines[ana].append(session.keyreq(CIRCLE, b""))
            case _:
                _drain(pair, lines)
    _drain(pair, lines)
    assert pair.ana.proven == pair.ben.proven


def _drain(pair: Pair, lines: dict[bool, deque[bytes]]) -> None:
    """Deliver everything that is on the way, and what it is answered with."""
    while lines[True] or lines[False]:
        for ana in (True, False):
            receiver = pair.ben if ana else pair.ana
            while lines[ana]:
                for event in receiver.receive(lines[ana].popleft(), NOW):
                    lines[not ana].extend(_answer(receiver, event))


def _answer(session: Session, event: Event) -> list[bytes]:
    if isinstance(event, Pushed):
        return [session.ack(event.lane, event.position, [(event.position, Outcome.STORED)])]
    if isinstance(event, KeysAsked):
        return session.keys(event.circle, [b"statement"], [], b"")
    return []


def test_a_proof_on_the_wire_is_the_one_of_the_spec() -> None:
    pair = Pair().greet()
    pair.ana.set_scopes(SHARED[:1])
    wanted = proof(SHARED[0].key, seed("nonce of ana"), seed("nonce of ben"), ANA)
    assert wanted in parse_message(pair.ana.interest(decoys)).slots()[0]
