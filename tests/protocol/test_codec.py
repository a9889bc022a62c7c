"""The codec: one encoding per value, exact types, every limit before anything is believed."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.protocol.codec import (
    Shape,
    array,
    blob,
    code,
    country,
    decode,
    encode,
    endpoint,
    integer,
    octets,
    text,
)
from almenara.protocol.errors import Defect, LocalError, NewerVersion, RemoteError

LEAVES = st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40)
LISTS = [st.lists(LEAVES, max_size=3)]
for _ in range(4):  # four arrays around an array are allowed
    LISTS.append(st.lists(LEAVES | LISTS[-1], max_size=3))
VALUES = LISTS[-1]
DEEPER = st.lists(LEAVES | VALUES, max_size=3)

PAIR = Shape("pair", ("left", integer(0, 9)), ("right", octets(2, 4)), version=1)


def refusal(shape: Shape, *values: object) -> RemoteError:
    """Return why a structure of these values is refused."""
    with pytest.raises(RemoteError) as caught:
        shape.read(msgpack.packb(list(values)), 1000)
    return caught.value


@given(VALUES)
def test_what_is_encoded_decodes_to_the_same_value_and_type(values: list[object]) -> None:
    data = encode(values)
    assert decode(data) == values
    assert encode(decode(data)) == data


@given(st.binary(max_size=60) | DEEPER.map(msgpack.packb))
def test_what_is_accepted_is_the_only_encoding_of_its_value(data: bytes) -> None:
    try:
        values = decode(data)
    except RemoteError:
        return
    assert encode(values) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused_as_the_other_side_s_fault(data: bytes) -> None:
    for reader in (decode, lambda given: PAIR.read(given, 100)):
        with suppress(RemoteError):
            reader(data)


def test_a_bomb_of_empty_maps_costs_little_memory() -> None:
    """A megabyte of empty maps took plain msgpack 73 MB."""
    bomb = b"\xdd\x00\x0f\xff\xff" + b"\x80" * 0xFFFFF
    tracemalloc.start()
    with pytest.raises(RemoteError):
        decode(bomb, len(bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_the_length_is_checked_before_decoding() -> None:
    with pytest.raises(RemoteError) as caught:
        decode(b"\xff" * 101, 100)
    assert caught.value.kind is Defect.TOO_LONG


@pytest.mark.parametrize("value", [None, True, 1.5, {}, {1: 2}, object(), "\ud800", 2**64, bytearray(b"x")])
def test_our_own_side_cannot_encode_what_the_wire_does_not_have(value: object) -> None:
    with pytest.raises(LocalError):
        encode([value])


def test_a_shape_reads_what_it_writes() -> None:
    assert PAIR.read(PAIR.write(9, b"four"), 100) == [1, 9, b"four"]


@pytest.mark.parametrize(
    ("values", "defect", "field"),
    [
        ([1, 9], Defect.WRONG_COUNT, "pair"),
        ([1, 9, b"ab", 0], Defect.WRONG_COUNT, "pair"),
        ([], Defect.WRONG_COUNT, "pair"),
        ([0, 9, b"ab"], Defect.UNKNOWN_VERSION, "pair"),
        ([True, 9, b"ab"], Defect.WRONG_TYPE, "ver"),
        (["1", 9, b"ab"], Defect.WRONG_TYPE, "ver"),
        ([1, 10, b"ab"], Defect.OUT_OF_RANGE, "left"),
        ([1, True, b"ab"], Defect.WRONG_TYPE, "left"),
        ([1, 9, b"abc"], Defect.WRONG_LENGTH, "right"),
        ([1, 9, "ab"], Defect.WRONG_TYPE, "right"),
        ([1, 9, [b"ab"]], Defect.WRONG_TYPE, "right"),
    ],
)
def test_a_defect_is_named_with_its_slot(values: list[object], defect: Defect, field: str) -> None:
    error = refusal(PAIR, *values)
    assert (error.kind, error.field) == (defect, field)


def test_a_later_version_is_newer_whatever_its_slots_are() -> None:
    assert isinstance(refusal(PAIR, 2), NewerVersion)
    assert isinstance(refusal(PAIR, 2, [["another shape"]], b"x", 7), NewerVersion)


@pytest.mark.parametrize("slot", [None, 1.5, True])
def test_a_later_version_with_a_foreign_type_is_broken_not_newer(slot: object) -> None:
    assert not isinstance(refusal(PAIR, 2, slot), NewerVersion)


def test_writing_a_bad_value_is_our_own_fault() -> None:
    with pytest.raises(LocalError) as caught:
        PAIR.write(10, b"ab")
    assert (caught.value.kind, caught.value.field) == (Defect.OUT_OF_RANGE, "left")


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (blob(3, 1), [b"a", b"abc"], [b"", b"abcd", "a"]),
        (text(4), ["", "abcd", "éé"], ["abcde", "ééa", "a\n", "\x00", "\x9f", "e\u0301", b"a", "\ud800"]),
        (text(9, 1, lines=True), ["a\n\tb"], ["", "a\r\n", "\x0b", "\x7f"]),
        (code(), ["detained", "state.police", "TLP:AMBER+STRICT"], ["", ".a", "a b", "é", "a" * 65, 5]),
        (code(optional=True), ["", "a"], [" "]),
        (country(), ["KE", "XK"], ["", "ke", "KEN", "K1"]),
        (country(optional=True), ["", "KE"], ["ke"]),
        (endpoint(), ["a.example:1", "127.0.0.1:65535", "[::1]:7790", "x--y.onion:80"], []),
        (endpoint(), [], ["a.example", "A.example:1", "a:0", "a:65536", "a:01", "::1:80", "-a:1", "a-:1", "a:1\n"]),
        (array(integer(0, 5), 2), [[], [5], [1, 1]], [[1, 2, 3], [6], 1, (1,)]),
        (array(integer(), 3, 1, rising=True), [[1], [1, 2]], [[], [2, 1], [1, 1]]),
        (array(PAIR, 1), [[[1, 2, b"ab"]]], [[[1, 2]], [b"x"], [[2]]]),
    ],
)
def test_a_check_accepts_and_refuses(check: object, right: list[object], wrong: list[object]) -> None:
    for value in right:
        check(value, "slot")  # type: ignore[operator]
    for value in wrong:
        with pytest.raises(RemoteError):
            check(value, "slot")  # type: ignore[operator]


def test_an_error_never_repeats_content() -> None:
    """It may be logged and shown, so the name of a person in a wrong slot must not be in it."""
    secret = "Wanjiru Example"
    named = Shape("thing", ("who", code()), ("note", text(3)), ("number", integer(0, 1)))
    for values in ([secret, "a", 1], ["a", secret, 1], ["a", "b", secret], ["a", "b", 4242424242]):
        error = refusal(named, *values)
        assert secret not in str(error) + repr(error)
        assert "4242424242" not in str(error) + repr(error)


def test_an_error_says_what_was_expected_and_what_came() -> None:
    error = refusal(PAIR, 1, 9, b"abc")
    assert str(error) == "wrong-length in right: expected 2 or 4 bytes, got 3 bytes"
