"""The digits people compare."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.codes import long_code, short_code


@given(st.binary(min_size=32, max_size=32))
def test_short_code_is_64_bits_mod_10_to_the_12(secret: bytes) -> None:
    """3 groups of 4, read back as the number."""
    code = short_code(secret)
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", code)
    assert int(code.replace(" ", "")) == int.from_bytes(secret[:8], "big") % 10**12


@given(st.binary(min_size=64, max_size=64))
def test_long_code_is_512_bits_mod_10_to_the_60(digest: bytes) -> None:
    """12 groups of 5, read back as the number."""
    code = long_code(digest)
    assert re.fullmatch(r"(\d{5} ){11}\d{5}", code)
    assert int(code.replace(" ", "")) == int.from_bytes(digest, "big") % 10**60


def test_codes_are_filled_with_zeros() -> None:
    """A small number still has all its digits."""
    assert short_code(bytes(7) + b"\x2a" + bytes(24)) == "0000 0000 0042"
    assert long_code(bytes(63) + b"\x2a") == " ".join(["00000"] * 11 + ["00042"])


def test_codes_known_answers() -> None:
    """Fixed for ever: two versions of the program must show the same digits."""
    assert short_code(bytes(range(32))) == "6869 5230 6183"
    assert short_code(b"\xff" * 32) == "0737 0955 1615"
    assert long_code(b"\xff" * 64) == "90342 76900 31858 18648 60508 53753 88281 19465 69946 43364 90060 84095"


@pytest.mark.parametrize("length", [0, 8, 31, 33, 64])
def test_short_code_takes_only_32_bytes(length: int) -> None:
    """A truncated secret would make a weak code that looks like a strong one."""
    with pytest.raises(ValueError, match="32 bytes"):
        short_code(bytes(length))


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_long_code_takes_only_64_bytes(length: int) -> None:
    """Likewise."""
    with pytest.raises(ValueError, match="64 bytes"):
        long_code(bytes(length))
