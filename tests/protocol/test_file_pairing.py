"""Pairing by files: sixty digits over both files, the same on both sides."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.labels import Label
from almenara.protocol.card import Status, sign_card
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.file_pairing import file_code, file_offer, parse_file_offer

from .nodes import NOW, TestNode, certificate, node, seed

ALPHA, BETA = node("alpha"), node("beta")


def offer(of: TestNode, nonce: str = "nonce") -> bytes:
    return file_offer(of.introduction.encode(), seed(of.introduction.profile.name + nonce), of.op)


def test_both_sides_see_the_same_sixty_digits() -> None:
    first, second = offer(ALPHA), offer(BETA)
    assert file_code(first, second) == file_code(second, first)
    assert len(file_code(first, second).replace(" ", "")) == 60


def test_a_file_shows_who_made_it() -> None:
    assert parse_file_offer(offer(BETA)).peer == BETA.introduction


def test_another_nonce_or_another_node_gives_another_code() -> None:
    codes = {
        file_code(offer(ALPHA), offer(BETA)),
        file_code(offer(ALPHA), offer(BETA, "again")),
        file_code(offer(ALPHA), offer(node("mallory"))),
    }
    assert len(codes) == 3


def test_a_file_signed_by_another_is_refused() -> None:
    forged = file_offer(BETA.introduction.encode(), seed("nonce"), node("mallory").op)
    with pytest.raises(RemoteError) as caught:
        file_code(offer(ALPHA), forged)
    assert caught.value.kind is Defect.BAD_SIGNATURE


def test_a_signature_for_pairing_by_network_is_none_for_files() -> None:
    nonce, introduction = seed("nonce"), BETA.introduction.encode()
    forged = msgpack.packb([1, introduction, nonce, BETA.op.sign(Label.PAIR_SIGN, nonce + introduction)])
    with pytest.raises(RemoteError) as caught:
        parse_file_offer(forged)
    assert caught.value.kind is Defect.BAD_SIGNATURE


def test_our_own_file_that_comes_back_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        file_code(offer(ALPHA), offer(ALPHA, "again"))
    assert caught.value.kind is Defect.REFLECTED


def test_a_revoked_node_cannot_pair() -> None:
    card = sign_card(
        root=BETA.root,
        counter=2,
        op_sign=BETA.op.public,
        tls_cert=certificate("beta"),
        endpoints=[],
        issued=NOW,
        expires=NOW + 1,
        status=Status.REVOKED,
    )
    introduction = msgpack.packb([card.encode(), BETA.introduction.profile.encode(), BETA.introduction.prekey.encode()])
    with pytest.raises(RemoteError) as caught:
        parse_file_offer(file_offer(introduction, seed("nonce"), BETA.op))
    assert caught.value.kind is Defect.REVOKED


@given(st.binary(max_size=100))
def test_any_bytes_are_a_file_or_refused(data: bytes) -> None:
    with suppress(RemoteError):
        parse_file_offer(data)
