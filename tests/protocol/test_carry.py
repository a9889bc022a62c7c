"""Asking to carry: what is said, what it tells whoever hears it, and what is refused (PROTOCOL §6)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.protocol.carry import (
    CARRY_STEP,
    MAX_CARRIED,
    MAX_CARRIED_A_WEEK,
    CarriedScope,
    decoy_key,
    padded,
    weeks_of_carrying,
)
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import CLASS_DAYS
from almenara.protocol.messages import Carry, encode_message, parse_message
from almenara.protocol.scope import HOURS_PER_WEEK, scope_key, weeks_of_interest
from almenara.protocol.session import CarryAsked, CarryTold

from .circles import ANA, BEN
from .nodes import NOW, seed
from .sessions import Pair, forbidden, raw, refused

SECRET = seed("decoys")
HOUR = NOW // 60
WEEKS = weeks_of_carrying(HOUR)


def decoy(week: int, number: int) -> bytes:
    return decoy_key(SECRET, BEN, week, number)


def scopes_of(circles: int) -> list[CarriedScope]:
    return [CarriedScope(scope_key(seed(f"secret {c}"), week), week) for c in range(circles) for week in WEEKS]


numbers = st.integers(0, MAX_CARRIED_A_WEEK)
some_scopes = st.dictionaries(st.sampled_from(WEEKS), numbers, min_size=1).map(
    lambda counts: [CarriedScope(seed(f"{week}/{n}"), week) for week, count in counts.items() for n in range(count)]
)


# What is asked.


def test_the_weeks_reach_back_as_far_as_an_envelope_lives_and_five_ahead() -> None:
    assert len(WEEKS) == 11
    assert set(weeks_of_interest(HOUR)) < set(WEEKS)
    assert (HOUR // HOURS_PER_WEEK - WEEKS[0]) * 7 >= max(CLASS_DAYS)
    assert weeks_of_carrying(0) == (0, 1, 2, 3, 4, 5)


@given(some_scopes)
def test_every_true_scope_is_asked_for_and_every_week_has_as_many_keys(scopes: list[CarriedScope]) -> None:
    told = padded(scopes, WEEKS, decoy)
    assert set(scopes) <= set(told)
    counts = Counter(scope.week for scope in told)
    assert set(counts.values()) <= {-(-max(Counter(s.week for s in scopes).values(), default=0) // 8) * 8}
    assert parse_message(encode_message(Carry(scopes=told))) == Carry(scopes=told)
    assert len(told) <= MAX_CARRIED


@given(st.integers(1, MAX_CARRIED_A_WEEK), st.integers(1, MAX_CARRIED_A_WEEK))
def test_one_circle_and_eight_look_the_same(some: int, others: int) -> None:
    shapes = [Counter(scope.week for scope in padded(scopes_of(count), WEEKS, decoy)) for count in (some, others)]
    assert (shapes[0] == shapes[1]) == (-(-some // CARRY_STEP) == -(-others // CARRY_STEP))


@given(st.permutations(scopes_of(3)))
def test_the_order_tells_nothing_of_what_belongs_together(scopes: list[CarriedScope]) -> None:
    assert padded(scopes, WEEKS, decoy) == padded(sorted(scopes), WEEKS, decoy)


def test_decoys_stay_so_that_what_goes_is_not_known_as_one() -> None:
    """Asked anew a week later, exactly the keys of the week gone by are missing."""
    before, later = (
        set(padded([s for s in scopes_of(3) if s.week in weeks], weeks, decoy)) for weeks in (WEEKS[:-1], WEEKS[1:])
    )
    assert {scope.week for scope in before - later} == {WEEKS[0]}
    assert {scope.week for scope in later - before} == {WEEKS[-1]}


def test_decoys_of_two_carriers_are_unrelated() -> None:
    assert decoy_key(SECRET, ANA, 1, 0) != decoy_key(SECRET, BEN, 1, 0)
    keys = {decoy_key(SECRET, BEN, week, number) for week in WEEKS for number in range(8)}
    assert len(keys) == len(WEEKS) * 8


def test_nothing_is_asked_where_there_is_nothing() -> None:
    assert padded([], WEEKS, decoy) == ()


def test_more_than_one_request_holds_is_refused_before_it_is_said() -> None:
    assert len(padded(scopes_of(MAX_CARRIED_A_WEEK), WEEKS, decoy)) == 968
    forbidden(Defect.WRONG_COUNT, padded, scopes_of(MAX_CARRIED_A_WEEK + 1), WEEKS, decoy)


# In a session.


def test_a_request_and_its_answers_cross_an_open_session() -> None:
    pair, asked = Pair().open(), padded(scopes_of(1), WEEKS, decoy)
    assert pair.to_ben(pair.ana.carry(asked)) == [CarryAsked(scopes=asked)]
    assert pair.to_ana(pair.ben.carrying(64_000_000, 0)) == [CarryTold(granted=64_000_000, used=0)]
    assert pair.to_ana(pair.ben.carrying(0, 0)) == [CarryTold(granted=0, used=0)]
    assert pair.to_ben(pair.ana.carry([])) == [CarryAsked(scopes=())]


def test_nobody_is_answered_who_did_not_ask() -> None:
    pair = Pair().open()
    forbidden(Defect.WRONG_ORDER, pair.ben.carrying, 1, 0)
    refused(Defect.WRONG_ORDER, pair.ana.receive, raw([16, 1, 0]), NOW)


def test_both_may_ask_each_other() -> None:
    pair = Pair().open()
    pair.to_ben(pair.ana.carry([]))
    pair.to_ana(pair.ben.carry([]))
    pair.to_ana(pair.ben.carrying(5, 0))
    assert pair.to_ben(pair.ana.carrying(7, 1)) == [CarryTold(granted=7, used=1)]


def test_what_was_asked_never_stands_in_a_log() -> None:
    scope = padded(scopes_of(1), WEEKS, decoy)
    assert scope[0].key.hex() not in repr(Carry(scopes=scope)) + repr(CarryAsked(scopes=scope))
    assert repr(scope[0].key) not in repr(Carry(scopes=scope)) + repr(CarryAsked(scopes=scope))


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(-1, 2**33)), max_size=40), st.booleans())
def test_whatever_comes_is_refused_or_taken_as_it_came(scopes: list[tuple[bytes, int]], sort: bool) -> None:
    listed = [list(scope) for scope in (sorted(scopes) if sort else scopes)]
    rising = all(a < b for a, b in pairwise(listed))
    keys = [key for key, _ in listed]
    good = rising and len(listed) % CARRY_STEP == 0 and len(set(keys)) == len(keys)
    good = good and all(len(key) == 32 and 0 <= week <= (2**32 - 1) // 168 for key, week in listed)
    pair = Pair().open()
    if good:
        (event,) = pair.to_ben(raw([15, listed]))
        assert isinstance(event, CarryAsked)
        assert [list(scope) for scope in event.scopes] == listed
    else:
        with pytest.raises(RemoteError):
            pair.to_ben(raw([15, listed]))
