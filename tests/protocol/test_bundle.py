"""Bundles: what goes in comes out, and damage anywhere is told without losing what came before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.crypto.stream import HEADER_BYTES, StreamSealer
from almenara.protocol import bundle_head
from almenara.protocol.bundle import (
    CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_RECORD,
    MAX_RECORDS,
    SEALED_BYTES,
    BundleReader,
    BundleWriter,
    Carried,
    Event,
    Header,
    Keys,
    Kind,
    Spoilt,
    nameless_header,
    sign_header,
)
from almenara.protocol.bundle_head import HEAD_BYTES, Opened, Suite, open_with, parse_start, seal_for
from almenara.protocol.errors import Defect, LocalError, RemoteError

from .nodes import NOW, node, seed

ALPHA, BETA = node("alpha"), node("beta")
HOUR = NOW // 60
SEALED = seal_for(BETA.root.node_id, BETA.prekey.public, seed("file key"))
LOCKED = Opened(b"ALMB\1\2" + seed("salt", 16), seed("stretched"))
MESSAGE = Keys(circle=seed("circle", 16), statements=(seed("statement", 400),), introductions=(), packet=b"")


@dataclass
class Read:
    """What a reader made of a file."""

    events: list[Event]
    error: RemoteError | None

    @property
    def envelopes(self) -> list[bytes]:
        return [event.envelope for event in self.events if isinstance(event, Carried)]


def writer(opened: Opened = SEALED) -> BundleWriter:
    if opened.recipient is None:
        return BundleWriter(opened, nameless_header(HOUR))
    return BundleWriter(opened, sign_header(HOUR, ALPHA.introduction.encode(), opened, ALPHA.op))


def written(envelopes: list[bytes], opened: Opened = SEALED, *, keys: tuple[Keys, ...] = ()) -> bytes:
    to = writer(opened)
    parts = [to.start(), *(to.keys(message) for message in keys), *(to.envelope(one) for one in envelopes)]
    return b"".join([*parts, *to.finish()])


def read(data: bytes, opened: Opened | None = None, *, step: int = 2**20) -> Read:
    found = Read([], None)
    try:
        size = HEAD_BYTES[parse_start(data)]
        opened = opened or open_with(data[:size], BETA.root.node_id, [ALPHA.prekey, BETA.prekey])
        reader = BundleReader(opened)
        for at in range(size, len(data), step):
            for event in reader.feed(data[at : at + step]):
                found.events.append(event)
        reader.close()
    except RemoteError as error:
        found.error = error
    return found


def envelopes_of(count: int, size: int = 16_384) -> list[bytes]:
    return [seed(f"envelope {number}", size) for number in range(count)]


@given(
    st.lists(st.binary(min_size=1, max_size=3000), max_size=8),
    st.integers(0, 3),
    st.integers(1, 200_000),
    st.booleans(),
)
def test_what_goes_in_comes_out_in_order_however_it_is_cut(
    envelopes: list[bytes], times: int, step: int, to_one: bool
) -> None:
    opened = SEALED if to_one else LOCKED
    envelopes = envelopes * (1 + 9 * times)
    keys = (MESSAGE, MESSAGE) if to_one else ()
    found = read(written(envelopes, opened, keys=keys), None if to_one else opened, step=max(step, 500))
    assert found.error is None
    assert found.envelopes == envelopes
    header = found.events[0]
    assert isinstance(header, Header)
    assert header.created_hour == HOUR
    assert header.sender == (ALPHA.introduction if to_one else None)
    assert [event for event in found.events if isinstance(event, Keys)] == list(keys)


@pytest.mark.parametrize(("count", "chunks"), [(0, 1), (2, 1), (3, 1), (4, 2), (7, 2), (8, 4), (20, 8), (40, 16)])
def test_the_size_of_a_file_is_one_of_a_few(count: int, chunks: int) -> None:
    """16 KiB each: the header's 9 KB and the frames push the fourth, eighth, … over."""
    data = written(envelopes_of(count))
    assert len(data) == HEAD_BYTES[Suite.RECIPIENT] + HEADER_BYTES + chunks * SEALED_BYTES


def test_the_clear_part_is_only_magic_version_and_suite() -> None:
    """Two files with the same content for the same node share nothing else, and neither names anybody."""
    other = seal_for(BETA.root.node_id, BETA.prekey.public, seed("file key"))
    first, second = written(envelopes_of(2)), written(envelopes_of(2), other)
    start = bundle_head.START_BYTES
    assert first[:start] == second[:start] == b"ALMB\1\1"
    shared = {first[at : at + 8] for at in range(start, len(first) - 8)}
    assert not [at for at in range(start, len(second) - 8) if second[at : at + 8] in shared]
    known = [BETA.root.node_id.raw, ALPHA.root.node_id.raw, BETA.introduction.prekey.kid, HOUR.to_bytes(4)]
    assert [part for part in known if part in first] == []


def test_every_cut_is_told_and_loses_nothing_before_it() -> None:
    """Four chunks of sixteen KiB envelopes: each cut keeps what stood in whole chunks before it."""
    envelopes = envelopes_of(12)
    data = written(envelopes)
    head = HEAD_BYTES[Suite.RECIPIENT]
    begin = head + HEADER_BYTES
    whole = [len(read(data[: begin + chunks * SEALED_BYTES]).envelopes) for chunks in range(5)]
    assert whole == [0, 3, 7, 11, 12]
    edges = [begin + chunks * SEALED_BYTES + shift for chunks in range(5) for shift in (-2, -1, 0, 1, 2)]
    cuts = {*range(0, begin, 61), head, begin, *edges, *range(begin, len(data), 9973)} - set(
        range(len(data), len(data) + 3)
    )
    for cut in sorted(cuts):
        found = read(data[:cut])
        assert found.error is not None
        assert found.error.kind is Defect.TRUNCATED, cut
        assert found.envelopes == envelopes[: whole[max(0, cut - begin) // SEALED_BYTES]], cut


def test_every_changed_byte_is_told_and_loses_nothing_before_it() -> None:
    envelopes = envelopes_of(6)
    data = written(envelopes)
    begin = HEAD_BYTES[Suite.RECIPIENT] + HEADER_BYTES
    assert len(data) == begin + 2 * SEALED_BYTES
    places = {
        *range(0, begin, 23),
        *range(begin - 24, begin + 3),
        *range(begin, len(data), 1597),
        begin + SEALED_BYTES,
        len(data) - 1,
    }
    for place in sorted(places):
        changed = bytearray(data)
        changed[place] ^= 0x40
        found = read(bytes(changed))
        assert found.error is not None, place
        assert found.envelopes == (envelopes[:3] if place >= begin + SEALED_BYTES else []), place


def test_chunks_in_another_order_or_twice_do_not_open() -> None:
    data = written(envelopes_of(12))
    begin = HEAD_BYTES[Suite.RECIPIENT] + HEADER_BYTES
    chunks = [data[at : at + SEALED_BYTES] for at in range(begin, len(data), SEALED_BYTES)]
    for order in ([1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 3, 2]):
        found = read(data[:begin] + b"".join(chunks[number] for number in order))
        assert found.error is not None
        assert found.error.kind is Defect.BAD_TAG, order


def test_a_number_of_chunks_that_is_no_power_of_two_is_refused() -> None:
    whole = writer()
    records = whole._waiting + b"\0\0\0\3\4\x91\0"
    found = read(sealed_by_hand([bytes(records), b"", b""]))
    assert found.error is not None
    assert found.error.kind is Defect.WRONG_COUNT


def sealed_by_hand(chunks: list[bytes], opened: Opened = SEALED) -> bytes:
    sealer = StreamSealer(opened.stream_key)
    last = len(chunks) - 1
    sealed = [sealer.seal(one.ljust(CHUNK_BYTES, b"\0"), last=at == last) for at, one in enumerate(chunks)]
    return opened.head + sealer.header + b"".join(sealed)


def test_an_end_that_the_stream_does_not_end_with_is_no_end() -> None:
    """Records end, but the file was cut after a chunk that is not the last."""
    sealer = StreamSealer(SEALED.stream_key)
    records = bytes(writer()._waiting) + b"\0\0\0\3\4\x91\0"
    found = read(SEALED.head + sealer.header + sealer.seal(records.ljust(CHUNK_BYTES, b"\0"), last=False))
    assert found.error is not None
    assert found.error.kind is Defect.TRUNCATED


def test_a_million_records_take_little_memory() -> None:
    """A file under a passphrase, full of records of nothing."""
    end = b"\0\0\0\7\4\x91\xce" + (1_000_000).to_bytes(4)
    plain = bytes(BundleWriter(LOCKED, nameless_header(HOUR))._waiting) + b"\0\0\0\1\3" * 1_000_000 + end
    data = sealed_by_hand([plain[at : at + CHUNK_BYTES] for at in range(0, 128 * CHUNK_BYTES, CHUNK_BYTES)], LOCKED)
    reader, head = BundleReader(LOCKED), len(LOCKED.head)
    count = most = 0
    for at in range(head, len(data), CHUNK_BYTES):
        for event in reader.feed(data[at : at + CHUNK_BYTES]):
            count += isinstance(event, Carried)
        most = max(most, len(reader._raw) + len(reader._plain))
    reader.close()
    assert count == 1_000_000
    assert most < SEALED_BYTES + MAX_RECORD


def test_a_count_that_is_claimed_and_not_there_is_refused_after_all_that_is() -> None:
    records = bytes(writer()._waiting) + b"\0\0\0\4\3abc" + b"\0\0\0\7\4\x91\xce" + (1_000_000).to_bytes(4)
    found = read(sealed_by_hand([records]))
    assert found.envelopes == [b"abc"]
    assert found.error is not None
    assert found.error.kind is Defect.WRONG_NUMBER


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=6), st.booleans(), st.booleans())
def test_whatever_stands_in_the_records_only_typed_errors_come_of_it(
    records: list[tuple[int, bytes]], to_one: bool, begun: bool
) -> None:
    """By somebody who holds the key: any kinds and contents, after a good header or without one."""
    opened = SEALED if to_one else LOCKED
    plain = bytes(writer(opened)._waiting) if begun else b""
    plain += b"".join((1 + len(content)).to_bytes(4) + bytes([kind]) + content for kind, content in records)
    found = read(sealed_by_hand([plain], opened), opened)
    assert found.error is not None or records[-1][0] == Kind.END
    assert found.envelopes == [] or begun


@given(st.binary(max_size=1300))
def test_whatever_a_file_begins_with_only_typed_errors_come_of_it(data: bytes) -> None:
    assert read(data).error is not None
    assert read(b"ALMB\1\1" + data).error is not None
    assert read(LOCKED.head + data, LOCKED).error is not None


def test_a_bundle_for_somebody_else_does_not_open() -> None:
    with pytest.raises(RemoteError) as caught:
        open_with(SEALED.head, ALPHA.root.node_id, [ALPHA.prekey, BETA.prekey])
    assert caught.value.kind is Defect.WRONG_RECIPIENT


def test_only_a_bundle_to_one_node_has_a_sender() -> None:
    with pytest.raises(LocalError):
        sign_header(HOUR, ALPHA.introduction.encode(), LOCKED, ALPHA.op)
    found = read(written([b"x"], LOCKED, keys=(MESSAGE,)), LOCKED)
    spoilt = [event.error.kind for event in found.events if isinstance(event, Spoilt)]
    assert (spoilt, found.envelopes, found.error) == ([Defect.NOT_ALLOWED], [b"x"], None)


def test_nothing_is_added_beyond_the_largest_file() -> None:
    to = writer()
    to._sealed = MAX_CHUNKS - 1
    assert to.has_room(16_384)
    assert not to.has_room(CHUNK_BYTES)
    with pytest.raises(LocalError) as caught:
        to.envelope(bytes(CHUNK_BYTES))
    assert caught.value.kind is Defect.TOO_LARGE


def test_no_more_records_than_a_reader_takes() -> None:
    to = writer()
    to._added = MAX_RECORDS
    assert not to.has_room(1)


def test_the_specification_has_the_same_numbers() -> None:
    text = (Path(__file__).parents[2] / "protocol" / "SPEC.md").read_text(encoding="utf-8")
    section = text[text.index("## 14 Bundle") :]
    numbers = [CHUNK_BYTES, SEALED_BYTES, MAX_CHUNKS, MAX_RECORD, MAX_RECORD + 1, MAX_RECORDS]
    numbers += [HEAD_BYTES[Suite.RECIPIENT] - bundle_head.START_BYTES]
    assert [number for number in numbers if f"{number:,}" not in section] == []
    kinds = dict(re.findall(r"^\| (\d) \| ([A-Z]+) \|", section, re.MULTILINE))
    assert {int(number): name for number, name in kinds.items()} == {int(kind): kind.name for kind in Kind}
    assert f"{bundle_head.MEMORY_BYTES // 2**20} MiB" in section
