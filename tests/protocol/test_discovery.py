"""What is announced on a local network: known to the pair, the same size for everybody, different every hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.identity import NodeId
from almenara.protocol.discovery import NOTICE_BYTES, TAGS, discovery_tag, notice, parse_notice
from almenara.protocol.errors import LocalError, RemoteError

SECRET = bytes(32)
ALPHA, BETA = NodeId(b"a" * 32), NodeId(b"b" * 32)


def test_tags_differ_by_secret_hour_and_side() -> None:
    tags = {
        discovery_tag(secret, hour, node)
        for secret in (SECRET, b"x" * 32)
        for hour in (0, 1, 496_667)
        for node in (ALPHA, BETA)
    }
    assert len(tags) == 2 * 3 * 2


@given(count=st.integers(0, TAGS), filler=st.binary(min_size=NOTICE_BYTES, max_size=NOTICE_BYTES))
def test_a_notice_has_one_size_and_holds_its_tags_in_an_order_of_their_own(count: int, filler: bytes) -> None:
    tags = {bytes([255, number]) + bytes(6) for number in range(count)}
    try:
        made = notice(tags, filler)
    except LocalError:
        spare = [filler[start : start + 8] for start in range(8 * count, NOTICE_BYTES, 8)]
        assert len(tags.union(spare)) < TAGS
        return
    assert len(made) == NOTICE_BYTES
    assert tags <= parse_notice(made)


@given(data=st.binary(max_size=2 * NOTICE_BYTES))
def test_any_bytes_are_tags_or_a_remote_error(data: bytes) -> None:
    try:
        found = parse_notice(data)
    except RemoteError:
        return
    assert b"".join(sorted(found)) == data


def test_more_tags_than_fit_an_hour_that_is_none_and_a_short_filler_are_our_own_fault() -> None:
    many = {bytes([number]) * 8 for number in range(TAGS + 1)}
    with pytest.raises(LocalError):
        notice(many, bytes(NOTICE_BYTES))
    with pytest.raises(LocalError):
        notice(set(), b"short")
    with pytest.raises(LocalError):
        discovery_tag(SECRET, -1, ALPHA)
