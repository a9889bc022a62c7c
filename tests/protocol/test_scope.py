"""Scopes: tags that carriers see, and proofs that only those who belong can make (PROTOCOL §6)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.protocol.limits import CLASS_DAYS, HOURS_PER_DAY
from almenara.protocol.scope import ScopeKey, proof, scope, scope_key, tag, week_of, weeks_of_interest

from .circles import ANA, BEN
from .nodes import seed

SECRET, A, B = seed("carry secret"), seed("nonce a"), seed("nonce b")


def hkdf(label: bytes, key: bytes, context: bytes = b"") -> bytes:
    """HKDF-SHA256 with one block of output, by RFC 5869's letter."""
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), label + context + b"\x01", "sha256")


def test_scope_keys_and_tags_follow_the_formula() -> None:
    key = scope_key(SECRET, 2_957)
    assert key == hkdf(b"almenara/1/scope-key\0", SECRET, (2_957).to_bytes(4, "big"))
    assert tag(key) == hkdf(b"almenara/1/tag\0", key)[:16]
    assert scope(SECRET, 2_957) == ScopeKey(tag(key), key)


def test_a_proof_follows_the_formula() -> None:
    key = scope_key(SECRET, 1)
    wanted = hmac.digest(key, b"almenara/1/scope-proof\0" + A + B + ANA.raw, hashlib.sha256)[:16]
    assert proof(key, A, B, ANA) == wanted


def test_another_week_or_secret_is_another_scope() -> None:
    tags = {scope(SECRET, 1).tag, scope(SECRET, 2).tag, scope(seed("other"), 1).tag}
    assert len(tags) == 3


@pytest.mark.parametrize(("hour", "week"), [(0, 0), (167, 0), (168, 1), (496_000, 2_952)])
def test_weeks_are_of_168_hours_from_1970(hour: int, week: int) -> None:
    assert week_of(hour) == week


def test_interest_covers_the_last_six_weeks_and_the_next() -> None:
    now = 496_000
    assert weeks_of_interest(now) == tuple(range(2_947, 2_954))
    assert len(weeks_of_interest(now)) == 7


def test_interest_begins_at_week_zero() -> None:
    assert weeks_of_interest(0) == (0, 1)


@given(st.integers(10_000, 2**31), st.integers(0, CLASS_DAYS[1] * HOURS_PER_DAY))
def test_everything_that_may_still_travel_is_covered(now_hour: int, age: int) -> None:
    assert week_of(now_hour - age) in weeks_of_interest(now_hour)


@given(st.integers(0, 2**31))
def test_what_a_peer_with_a_fast_clock_creates_is_covered(now_hour: int) -> None:
    assert week_of(now_hour + 1) in weeks_of_interest(now_hour)


# A proof is good for one prover, in one session, in one direction.


def test_a_tag_proves_nothing() -> None:
    here = scope(SECRET, 1)
    assert here.tag not in {proof(here.key, A, B, ANA), here.key[:16]}


def test_a_proof_names_its_prover() -> None:
    key = scope_key(SECRET, 1)
    assert proof(key, A, B, ANA) != proof(key, A, B, BEN)


def test_a_proof_cannot_be_reflected() -> None:
    key = scope_key(SECRET, 1)
    assert proof(key, A, B, ANA) not in {proof(key, B, A, BEN), proof(key, B, A, ANA)}


def test_a_proof_is_of_one_session() -> None:
    key = scope_key(SECRET, 1)
    others = {proof(key, seed("a later nonce"), B, ANA), proof(key, A, seed("a later nonce"), ANA)}
    assert proof(key, A, B, ANA) not in others


def test_the_key_does_not_show_in_the_text_of_a_scope() -> None:
    here = scope(SECRET, 1)
    assert repr(here.key)[2:-1] not in repr(here)
