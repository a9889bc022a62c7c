"""The one source of chance."""

from __future__ import annotations

from almenara.crypto.random import random_bytes


def test_random_bytes_have_the_length_and_never_repeat() -> None:
    """32 bytes, a thousand times; and the empty string for 0."""
    assert random_bytes(0) == b""
    drawn = {random_bytes(32) for _ in range(1000)}
    assert len(drawn) == 1000
    assert {len(value) for value in drawn} == {32}
