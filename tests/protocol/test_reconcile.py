"""Repair: both sides learn exactly what the other lacks, and a hostile one gains nothing (PROTOCOL §6)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almenara.protocol import reconcile
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.idsets import EMPTY, END, IdSet, first_hour, repair_key, root, short_id
from almenara.protocol.messages import MAX_RANGE_FRAME, Ranges, RangeSet, Roots, encode_message, parse_message
from almenara.protocol.ranges import MAX_LISTED, Mode, Range, encode_range, read_ranges
from almenara.protocol.reconcile import MAX_STEP_FRAMES, MAX_STEPS, Repair, Run

from .nodes import seed
from .repairs import HOUR, KEY, TAGS, Both, frozen, ids
from .sessions import Pair, forbidden, refused

if TYPE_CHECKING:
    from .repairs import Item

TAG = TAGS[0]


def many(count: int, *, seeded: int = 1, hours: int = 700, tag: bytes = TAG) -> list[Item]:
    rng = random.Random(seeded)
    return [(tag, 1, HOUR - rng.randrange(hours), rng.randbytes(32)) for _ in range(count)]


items = st.builds(
    lambda tag, cls, age, number: (tag, cls, HOUR - age, seed(f"id {tag.hex()} {cls} {age} {number}")),
    st.sampled_from(TAGS),
    st.integers(0, 1),
    st.integers(0, 20),
    st.integers(0, 5),
)
bags = st.sets(items, max_size=120)


# What an honest pair learns.


@settings(max_examples=150, deadline=None)
@given(bags, bags, bags)
def test_both_sides_learn_exactly_what_the_other_lacks(common: set[Item], ours: set[Item], theirs: set[Item]) -> None:
    a, b = common | ours, common | theirs
    both = Both(frozen(a), frozen(b))
    found = both.run()
    if a == b:
        assert found is None
        return
    assert found is not None
    assert ids(found[0]) == {item[2:] for item in a - b}
    assert ids(found[1]) == {item[2:] for item in b - a}
    assert (found[0].coming, found[1].coming) == (len(found[1].lacking), len(found[0].lacking))
    assert both.steps <= MAX_STEPS
    assert max(map(len, both.frames)) <= MAX_RANGE_FRAME


@settings(max_examples=40, deadline=None)
@given(st.lists(items, max_size=60), st.randoms())
def test_the_order_and_repetition_of_arrivals_do_not_matter(arrived: list[Item], rng: random.Random) -> None:
    again = arrived + arrived[: len(arrived) // 2]
    rng.shuffle(again)
    assert root(frozen(arrived), HOUR, KEY) == root(frozen(again), HOUR, KEY)
    assert Both(frozen(arrived), frozen(again)).run() is None


def test_equal_sets_cost_one_message_of_25_bytes() -> None:
    both = Both(frozen(many(3_000)), frozen(many(3_000)))
    assert both.run() is None
    assert [len(frame) for frame in both.frames] == [25]


@pytest.mark.parametrize("missing", [1, 40, 1_000, 3_000])
@pytest.mark.parametrize("newest", [True, False])
def test_large_sets_are_repaired_within_four_round_trips(missing: int, newest: bool) -> None:
    a = sorted(many(3_000), key=lambda item: item[2:])
    b = a[:-missing] if newest else random.Random(2).sample(a, len(a) - missing)
    both = Both(frozen(a), frozen(b))
    found = both.run()
    assert found is not None
    assert ids(found[0]) == {item[2:] for item in set(a) - set(b)}
    assert (found[1].lacking, found[1].coming) == ((), missing)
    assert both.steps + 1 <= 8  # with ROOTS


@pytest.mark.parametrize("starter_has", [True, False])
def test_a_side_with_nothing_is_told_in_a_few_frames_that_everything_comes(starter_has: bool) -> None:
    a, b = frozen(many(2_000)), frozen([])
    both = Both(a, b) if starter_has else Both(b, a)
    found = both.run()
    assert found is not None
    full, empty = found if starter_has else found[::-1]
    assert (len(full.lacking), empty.coming) == (2_000, 2_000)
    assert sum(map(len, both.frames)) < 700


def test_a_store_that_changes_during_a_run_does_not_change_the_run() -> None:
    a, b = IdSet(), IdSet()
    for _, _, hour, found in many(900):
        a.add(hour, found)
        if found[0] > 20:
            b.add(hour, found)
    first = first_hour(1, HOUR)
    both = Both({(TAG, 1): a.freeze(first)}, {(TAG, 1): b.freeze(first)})
    wanted = set(both.starters[TAG, 1].keys()) - set(both.peers[TAG, 1].keys())
    roots = both.peer.roots(both.peers, HOUR)
    said = both.starter.start(both.starters, HOUR)
    for _, _, hour, found in many(900, seeded=5):  # arrives at both, while the first step is on its way
        a.add(hour, found)
        b.add(hour, found)
    a.prune(HOUR - 50)
    b.prune(HOUR - 50)
    sides = (both.peer, both.starter)
    while said:
        answers = [sides[0].take(each, lambda _: both.peers) for each in said]
        said, sides = answers[-1], sides[::-1]
    found_there = both.starter.finish()
    assert roots.root != root(both.starters, HOUR, KEY)
    assert found_there is not None
    assert ids(found_there) == wanted


def test_what_lies_below_the_floor_takes_no_part() -> None:
    old = [(TAG, 0, HOUR - 144, seed("old")), (TAG, 1, HOUR - 816, seed("older"))]
    young = [(TAG, 0, HOUR - 143, seed("young")), (TAG, 1, HOUR - 815, seed("younger"))]
    assert Both(frozen([*old, *young]), frozen(young)).run() is None
    found = Both(frozen(young), frozen([])).run()
    assert found is not None
    assert ids(found[0]) == {item[2:] for item in young}


def test_what_comes_from_the_future_is_repaired_too() -> None:
    found = Both(frozen([(TAG, 1, HOUR + 400, seed("early"))]), frozen([])).run()
    assert found is not None
    assert found[0].lacking == ((HOUR + 400, seed("early")),)


def test_a_scope_that_only_one_side_counts_as_proven_is_left_alone() -> None:
    both = Both(frozen([*many(50), *many(50, tag=TAGS[1], seeded=3)]), frozen([], tags=[TAG]))
    found = both.run()
    assert found is not None
    assert ids(found[0]) == {item[2:] for item in many(50)}


def test_a_step_that_would_be_too_long_is_cut_and_the_next_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "MAX_STEP_BYTES", 4_000)
    a = many(2_000)
    missing = {item for item in a if item[3][0] < 64}
    left = set(missing)
    for _ in range(12):
        found = Both(frozen(a), frozen(set(a) - left)).run()
        if found is None:
            break
        assert found[0].lacking
        assert found[0].cut or found[1].cut or len(found[0].lacking) == len(left)
        left -= {item for item in left if item[2:] in ids(found[0])}
    assert not left


def test_the_key_is_the_same_on_both_sides_and_new_in_each_session() -> None:
    assert repair_key(b"a" * 32, b"b" * 32) == repair_key(b"b" * 32, b"a" * 32) != repair_key(b"a" * 32, b"c" * 32)
    sets = frozen(many(10))
    assert root(sets, HOUR, KEY) != root(sets, HOUR, seed("another"))
    assert root(sets, HOUR, KEY) != root(sets, HOUR + 1, KEY)
    pair = Pair().greet()
    assert [pair.ana.repair().starts, pair.ben.repair().starts].count(True) == 1
    forbidden(Defect.WRONG_ORDER, Pair().ana.repair)


def test_sums_of_ids_do_not_matter_only_ids_do() -> None:
    """Two sets with one sum: an additive fingerprint would call them equal."""
    low, high = bytes(31), b"\x01" * 31
    first = [(TAG, 1, HOUR, low + b"\x01"), (TAG, 1, HOUR, high + b"\x04")]
    second = [(TAG, 1, HOUR, low + b"\x02"), (TAG, 1, HOUR, high + b"\x03")]
    found = Both(frozen(first), frozen(second)).run()
    assert found is not None
    assert ids(found[0]) == {item[2:] for item in first}


# Who may begin, and how often.


def test_only_the_starter_begins_and_only_when_asked() -> None:
    sets = frozen(many(20))
    starter, peer = Repair(starts=True, key=KEY), Repair(starts=False, key=KEY)
    forbidden(Defect.WRONG_ORDER, peer.start, sets, HOUR)
    first = starter.start(sets, HOUR)
    forbidden(Defect.WRONG_ORDER, starter.start, sets, HOUR)
    refused(Defect.WRONG_ORDER, peer.take, first[0], lambda _: sets)  # nobody asked
    peer.roots(sets, HOUR - 1)
    refused(Defect.WRONG_ORDER, peer.take, first[0], lambda _: sets)  # for another hour
    peer.roots(sets, HOUR)
    assert peer.take(first[0], lambda _: sets)
    assert peer.finish() is not None
    refused(Defect.WRONG_ORDER, peer.take, first[0], lambda _: sets)  # one ROOTS is good for one run
    refused(Defect.WRONG_ORDER, Repair(starts=True, key=KEY).take, first[0], lambda _: sets)


# What a reader refuses. Every case is one defect in a frame that would be right without it.


def ranges(*said: Range, first: int = first_hour(1, HOUR)) -> bytes:
    data, at = b"", (first, b"")
    for each in said:
        data += encode_range(each, at)
        at = each.span[1]
    return data


def span(low: int, high: int, mode: Mode = Mode.FINGERPRINT, payload: bytes = bytes(16)) -> Range:
    return Range(((low, b""), (high, b"")), mode, payload)


def frame(*sets: RangeSet, last: bool = True, hour: int = HOUR) -> Ranges:
    return Ranges(hour=hour, last=last, sets=sets)


def told(data: bytes = b"", *, coming: int = 0, lacking: bytes = b"", start: int = 0, cls: int = 1) -> RangeSet:
    return RangeSet(TAG, cls, start, coming, lacking, data)


FLOOR = first_hour(1, HOUR)
GOOD = ranges(span(FLOOR, FLOOR + 5))


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        (Defect.MALFORMED, GOOD[:-1]),
        (Defect.MALFORMED, b"\x40"),
        (Defect.MALFORMED, b"\x42\x01\xaa"),
        (Defect.MALFORMED, b"\x80\x01\x02" + bytes(15)),
        (Defect.OUT_OF_RANGE, b"\xc0\x05"),
        (Defect.OUT_OF_RANGE, b"\x61\x05" + bytes(33 + 16)),
        (Defect.OUT_OF_RANGE, b"\x80\x05" + bytes([MAX_LISTED + 1]) + bytes(8 * (MAX_LISTED + 1))),
        (Defect.OUT_OF_RANGE, b"\x40\xff\xff\xff\xff\x0f" + bytes(16)),
        (Defect.OUT_OF_RANGE, b"\x40\x80\x80\x80\x80\x80\x01" + bytes(16)),
        (Defect.NOT_CANONICAL, b"\x40\x85\x00" + bytes(16)),
        (Defect.NOT_CANONICAL, b"\x00\x05"),
        (Defect.NOT_CANONICAL, b"\x00\x05\x00\x05" + GOOD),
        (Defect.NOT_SORTED, b"\x40\x00" + bytes(16)),
        (Defect.NOT_SORTED, GOOD + b"\x40\x00" + bytes(16)),
        (Defect.NOT_SORTED, b"\x7f" + bytes(16) + b"\x7f" + bytes(16)),
        (Defect.BAD_FORM, b"\x41\x05\xaa" + bytes(16)),
        (Defect.BAD_FORM, b"\x01\x00\xaa\x40\x02" + bytes(16)),
        (Defect.BAD_FORM, b"\x01\x00\xaa\x7f" + bytes(16)),
    ],
)
def test_ranges_that_break_a_rule_are_refused(defect: Defect, data: bytes) -> None:
    refused(defect, lambda: list(read_ranges(FLOOR, data)))


def test_ranges_are_read_as_they_were_written() -> None:
    inside = Range(((FLOOR + 7, b"\x10"), (FLOOR + 7, b"\x10\x80")), Mode.LIST, bytes(8))
    rest = Range(((FLOOR + 7, b"\x40"), (FLOOR + 8, b"")), Mode.LIST, b"")
    end = Range(((FLOOR + 200, b""), END), Mode.FINGERPRINT, bytes(16))
    written = [span(FLOOR, FLOOR + 7), inside, rest, end]
    assert list(read_ranges(FLOOR, ranges(*written))) == written


def heard(*frames: Ranges) -> Run:
    """A run of the side that does not start, when it has heard these frames."""
    run = Run(frozen(many(60)), HOUR, KEY)
    for each in frames:
        run.take(each)
    return run


TWICE = ranges(span(FLOOR, FLOOR + 9))


@pytest.mark.parametrize(
    ("defect", "frames"),
    [
        (Defect.WRONG_HOUR, [frame(told(GOOD), hour=HOUR + 1)]),
        (Defect.NOT_SORTED, [frame(told(GOOD), last=False), frame(told(GOOD))]),
        (Defect.NOT_SORTED, [frame(told(TWICE), last=False), frame(told(GOOD, start=4))]),
        (Defect.NOT_SORTED, [frame(told(GOOD, cls=1), last=False), frame(told(GOOD, cls=0))]),
        (Defect.OUT_OF_RANGE, [frame(told(lacking=b"\x01"))]),
        (Defect.TOO_LARGE, [frame(last=False)] * (MAX_STEP_FRAMES + 1)),
        (Defect.TOO_LARGE, [frame(told(GOOD))] * (MAX_STEPS // 2 + 1)),
    ],
)
def test_frames_that_break_a_rule_are_refused(defect: Defect, frames: list[Ranges]) -> None:
    heard(*frames[:-1])
    refused(defect, heard(*frames[:-1]).take, frames[-1])


@pytest.mark.parametrize("bits", [b"\x04", b"\x00\x00"])
def test_an_answer_to_more_ids_than_were_listed_is_refused(bits: bytes) -> None:
    run = Run(frozen(many(2)), HOUR, KEY)
    run.first()  # lists two ids
    refused(Defect.OUT_OF_RANGE, run.take, frame(told(lacking=bits)))


def test_each_bit_of_an_answer_is_an_id_in_the_order_it_was_listed() -> None:
    run = Run(frozen(many(3)), HOUR, KEY)
    run.first()
    run.take(frame(told(lacking=b"\x05", coming=4)))
    in_order = sorted(item[2:] for item in many(3))
    assert run.over
    assert run.difference.lacking == (in_order[0], in_order[2])
    assert run.difference.coming == 4


@pytest.mark.parametrize(
    ("defect", "sets"),
    [
        (Defect.NOT_SORTED, (told(GOOD), told(GOOD, start=9))),
        (Defect.NOT_SORTED, (told(GOOD, cls=1), told(GOOD, cls=0))),
        (Defect.WRONG_COUNT, (told(),)),
        (Defect.OUT_OF_RANGE, (told(GOOD, cls=2),)),
        (Defect.TOO_LONG, (told(lacking=bytes(2_048), cls=0), told(lacking=bytes(2_048)))),
    ],
)
def test_a_frame_of_wrong_sets_is_neither_written_nor_read(defect: Defect, sets: tuple[RangeSet, ...]) -> None:
    import msgpack  # noqa: PLC0415 - our own codec does not write it

    forbidden(defect, encode_message, frame(*sets))
    refused(defect, parse_message, msgpack.packb([10, *frame(*sets).slots()]))


def test_a_roots_that_crosses_the_beginning_of_a_run_is_answered_after_it() -> None:
    """The side that does not start says ROOTS twice; the starter hears the second when it has begun already."""
    sets = frozen(many(3))
    starter, peer = Repair(starts=True, key=KEY), Repair(starts=False, key=KEY)
    for hour in (HOUR, HOUR, HOUR + 1):
        peer.roots(sets, hour)
    for hour in (HOUR, HOUR, HOUR + 1):
        frames = starter.start(sets, hour)
        while frames:
            frames = [reply for frame in frames for reply in peer.take(frame, lambda _: sets)]
            frames = [reply for frame in frames for reply in starter.take(frame, lambda _: sets)]
        assert starter.finish() is not None
        assert peer.finish() is not None
    again = starter.start(sets, HOUR + 1)
    refused(Defect.WRONG_ORDER, peer.take, again[0], lambda _: sets)


def test_a_list_asked_for_again_gives_each_id_once() -> None:
    """A peer that says in every step that it has nothing does not make the list of pushes longer."""
    everything = frame(told(b"\xbf\x00"))
    run = heard(*[everything] * (MAX_STEPS // 2))
    assert len(run.difference.lacking) == 60


# Hostile frames: typed errors, a bounded answer, nothing else.

bounds = st.builds(lambda age, prefix: (HOUR - age, prefix), st.integers(0, 800), st.binary(max_size=2))


@st.composite
def wild_frames(draw: Any) -> Ranges:
    sets = []
    for cls in sorted(draw(st.sets(st.integers(0, 1)))):
        data, at = b"", (first_hour(cls, HOUR), b"")
        for high in sorted(high for high in draw(st.sets(bounds, max_size=6)) if high > at):
            mode = draw(st.sampled_from([Mode.FINGERPRINT, Mode.LIST]))
            size = 16 if mode is Mode.FINGERPRINT else 8 * draw(st.integers(0, 3))
            data += encode_range(Range((at, high), mode, draw(st.binary(min_size=size, max_size=size))), at)
            at = high
        entry = RangeSet(TAG, cls, 0, draw(st.integers(0, 9)), draw(st.binary(max_size=2)), data)
        if entry.coming or entry.lacking or entry.ranges:
            sets.append(entry)
    return Ranges(hour=HOUR, last=draw(st.booleans()), sets=tuple(sets))


@settings(max_examples=300, deadline=None)
@given(st.lists(wild_frames(), min_size=1, max_size=8), st.booleans())
def test_a_wild_peer_gets_an_answer_or_a_remote_error(frames: list[Ranges], starts: bool) -> None:
    run = Run(frozen(many(80, hours=40)), HOUR, KEY)
    if starts:
        run.first()
    try:
        for each in frames:
            if run.over:
                break
            for answer in run.take(each):
                assert len(encode_message(answer)) <= MAX_RANGE_FRAME
    except RemoteError:
        return
    assert len(run.difference.lacking) <= 80


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_ranges_or_a_remote_error(data: bytes) -> None:
    try:
        found = list(read_ranges(FLOOR, data))
    except RemoteError:
        return
    assert ranges(*found) == data


def test_no_step_of_ours_is_longer_than_a_peer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LEAF", 1)
    a, b = many(20_000), many(20_000, seeded=9)
    both = Both(frozen(a), frozen(b))
    found = both.run()
    assert found is not None
    assert both.steps <= MAX_STEPS
    assert not found[0].cut


def test_an_unknown_root_is_a_wish_and_no_more() -> None:
    sets = frozen(many(5))
    starter = Repair(starts=True, key=KEY)
    assert starter.differs(Roots(hour=HOUR, root=bytes(16)), sets)
    assert not starter.differs(Roots(hour=HOUR, root=root(sets, HOUR, KEY)), sets)
    assert EMPTY.digest() != sets[TAG, 1].digest()
    assert short_id(bytes(32), KEY) != short_id(bytes(32), seed("another"))
