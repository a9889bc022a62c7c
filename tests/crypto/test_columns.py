"""Sealed columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.crypto.columns import ColumnSealer
from almenara.crypto.errors import KeyMalformed, OpenFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEALER = ColumnSealer(bytes(range(32)))


@pytest.mark.parametrize("plaintext", [b"", b"a", b"case" * 5000])
def test_what_was_sealed_opens(plaintext: bytes) -> None:
    """40 bytes longer, whatever the length."""
    sealed = SEALER.seal("case.body", plaintext)
    assert len(sealed) == len(plaintext) + 40
    assert SEALER.open("case.body", sealed) == plaintext


def test_equal_values_look_different() -> None:
    """A fresh nonce each time: the database shows no repeats."""
    assert SEALER.seal("case.body", b"x") != SEALER.seal("case.body", b"x")


def test_a_value_opens_only_in_its_own_column() -> None:
    """Nobody can show one field as another by moving it."""
    sealed = SEALER.seal("case.title", b"x")
    for column in ("case.body", "case.titl", "case.titlex", "", "Case.title"):
        with pytest.raises(OpenFailed):
            SEALER.open(column, sealed)


def test_another_key_does_not_open() -> None:
    """Nor does a key of another length exist."""
    with pytest.raises(OpenFailed):
        ColumnSealer(bytes(32)).open("case.body", SEALER.seal("case.body", b"x"))
    for length in (0, 31, 33):
        with pytest.raises(KeyMalformed):
            ColumnSealer(bytes(length))


def test_damage_is_refused(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """Every flipped bit and every truncation."""
    for other in damaged(SEALER.seal("case.body", b"value")):
        with pytest.raises(OpenFailed):
            SEALER.open("case.body", other)


def test_printing_shows_no_key() -> None:
    """Neither the key nor anything of it."""
    assert repr(SEALER).startswith("<almenara.crypto.columns.ColumnSealer object")
