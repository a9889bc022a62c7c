"""The node id as a value: written, read, compared, logged (SCHEMAS §1)."""

from __future__ import annotations

import base64
import hashlib
from string import ascii_lowercase

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from almenara.crypto.errors import KeyMalformed, NodeIdMalformed
from almenara.crypto.identity import NodeId

ALPHABET = ascii_lowercase + "234567"
ids = st.binary(min_size=32, max_size=32).map(NodeId)
places = st.integers(0, 55)


def test_id_is_the_labelled_hash_of_both_root_keys() -> None:
    """SHA-256 over label ‖ Ed25519 ‖ ML-DSA-65 (PROTOCOL §1)."""
    curve, lattice = bytes(range(32)), bytes(1952)
    assert NodeId.of(curve, lattice).raw == hashlib.sha256(b"almenara/1/node-id\0" + curve + lattice).digest()


def test_id_needs_whole_keys() -> None:
    """Bytes cannot move from one key to the other and give the same id."""
    for curve, lattice in ((bytes(31), bytes(1953)), (bytes(33), bytes(1951)), (b"", b"")):
        with pytest.raises(KeyMalformed):
            NodeId.of(curve, lattice)


def test_written_form_is_base32_of_id_and_three_check_bytes() -> None:
    """The formula of SCHEMAS §1, written out."""
    raw = bytes(range(32))
    check = hashlib.sha256(b"almenara/1/node-id-check\0" + raw).digest()[:3]
    assert NodeId(raw).text == base64.b32encode(raw + check).decode().lower()
    assert str(NodeId(raw)) == NodeId(raw).text


@given(ids)
def test_written_form_reads_back(node_id: NodeId) -> None:
    """56 letters, no padding; `parse` undoes `text` and `groups`."""
    assert len(node_id.text) == 56
    assert set(node_id.text) <= set(ALPHABET)
    assert NodeId.parse(node_id.text) == node_id
    assert NodeId.parse(node_id.groups) == node_id


@given(ids)
def test_groups_are_seven_of_eight(node_id: NodeId) -> None:
    """As the panel shows it; the short form is the first group."""
    groups = node_id.groups.split(" ")
    assert [len(group) for group in groups] == [8] * 7
    assert "".join(groups) == node_id.text
    assert groups[0] == node_id.short


@given(ids, st.data())
def test_input_ignores_case_white_space_and_hyphens(node_id: NodeId, data: st.DataObject) -> None:
    """However people copy it."""
    noise = st.text(alphabet=" -\t\r\n", max_size=3)
    typed = "".join(
        data.draw(noise) + (letter.upper() if data.draw(st.booleans()) else letter) for letter in node_id.text
    )
    assert NodeId.parse(typed + data.draw(noise)) == node_id


@given(ids, places, st.sampled_from(ALPHABET))
def test_one_wrong_letter_is_refused(node_id: NodeId, place: int, letter: str) -> None:
    """Every single-letter error, anywhere."""
    text = node_id.text
    assume(text[place] != letter)
    with pytest.raises(NodeIdMalformed):
        NodeId.parse(text[:place] + letter + text[place + 1 :])


@given(ids, st.integers(0, 54))
def test_two_swapped_letters_are_refused(node_id: NodeId, place: int) -> None:
    """Every transposition of unequal neighbours."""
    text = node_id.text
    assume(text[place] != text[place + 1])
    with pytest.raises(NodeIdMalformed):
        NodeId.parse(text[:place] + text[place + 1] + text[place] + text[place + 2 :])


def test_every_single_error_in_one_id_is_refused() -> None:
    """All 1,736 substitutions in one id, without sampling."""
    text = NodeId(bytes(range(32))).text
    for place in range(56):
        for letter in ALPHABET.replace(text[place], ""):
            with pytest.raises(NodeIdMalformed):
                NodeId.parse(text[:place] + letter + text[place + 1 :])


@given(ids, places)
def test_a_missing_or_doubled_letter_is_refused(node_id: NodeId, place: int) -> None:
    """Length is exact."""
    text = node_id.text
    for other in (text[:place] + text[place + 1 :], text[:place] + text[place] + text[place:]):
        with pytest.raises(NodeIdMalformed):
            NodeId.parse(other)


@pytest.mark.parametrize(
    "letter",
    [
        *"0189=_é\0",
        "\N{LATIN SMALL LETTER DOTLESS I}",
        "\N{LATIN SMALL LETTER LONG S}",
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}",
        "\N{CYRILLIC SMALL LETTER A}",
        "\N{FULLWIDTH LATIN SMALL LETTER A}",
    ],
)
def test_letters_outside_the_alphabet_are_refused(letter: str) -> None:
    """No look-alikes are guessed, and no letter whose capital is an ASCII one slips in."""
    text = NodeId(bytes(32)).text
    with pytest.raises(NodeIdMalformed):
        NodeId.parse(letter + text[1:])


@given(st.text())
def test_any_other_text_is_refused_with_the_one_error(text: str) -> None:
    """Whatever people paste."""
    with pytest.raises(NodeIdMalformed):
        NodeId.parse(text)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33), bytearray(32), "0" * 32])
def test_an_id_is_exactly_32_bytes(raw: bytes) -> None:
    """An illegal value cannot exist."""
    with pytest.raises(NodeIdMalformed):
        NodeId(raw)


@given(ids, ids)
def test_ids_compare_hash_and_order_by_their_bytes(left: NodeId, right: NodeId) -> None:
    """So both sides of a pairing sort alike."""
    assert (left == right) == (left.raw == right.raw)
    assert (left < right) == (left.raw < right.raw)
    assert hash(NodeId(left.raw)) == hash(left)


def test_logs_show_the_short_form() -> None:
    """`repr` never writes the whole id."""
    node_id = NodeId(bytes(range(32)))
    assert repr(node_id) == f"NodeId({node_id.short})"
