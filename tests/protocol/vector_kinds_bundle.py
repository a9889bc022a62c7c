"""Readers of the vectors of bundles.

`bundle-head`: a head, and either our node id and a prekey's seed or a passphrase. `bundle-records`: a plaintext that is
padded to one chunk and sealed here. `bundle-file`: a whole file with one damage: `cut` keeps so many bytes, `flip`
changes a bit of one, `append` adds some.
"""

from __future__ import annotations

from typing import Any

from almenara.crypto.identity import NodeId
from almenara.crypto.sealing import PrekeySecret
from almenara.crypto.stream import StreamSealer
from almenara.protocol.bundle import CHUNK_BYTES, BundleReader, Carried, Header, Keys, Spoilt
from almenara.protocol.bundle_head import HEAD_BYTES, Opened, open_with, parse_start, unlock

KEY = bytes(range(32))


def _opened(given: dict[str, Any], head: bytes) -> Opened:
    if "passphrase" in given:
        return unlock(head, given["passphrase"])
    secret = PrekeySecret.from_seed(bytes.fromhex(given["prekey_seed"]))
    return open_with(head, NodeId(bytes.fromhex(given["own"])), [secret])


def read_head(given: dict[str, Any]) -> dict[str, Any]:
    return {"stream_key": _opened(given, bytes.fromhex(given["head"])).stream_key.hex()}


def read_records(given: dict[str, Any]) -> dict[str, Any]:
    recipient = NodeId(bytes.fromhex(given["recipient"])) if "recipient" in given else None
    opened = Opened(bytes.fromhex(given["head"]), KEY, recipient)
    sealer = StreamSealer(KEY)
    chunk = bytes.fromhex(given["plaintext"]).ljust(CHUNK_BYTES, b"\0")
    reader = BundleReader(opened)
    events = list(reader.feed(sealer.header + sealer.seal(chunk, last=True)))
    reader.close()
    header = events[0]
    assert isinstance(header, Header)
    return {
        "created_hour": header.created_hour,
        "sender": header.sender.node_id.raw.hex() if header.sender else "",
        "keys": sum(isinstance(event, Keys) for event in events),
        "envelopes": [event.envelope.hex() for event in events if isinstance(event, Carried)],
        "spoilt": [str(event.error.kind) for event in events if isinstance(event, Spoilt)],
    }


def read_file(given: dict[str, Any]) -> dict[str, Any]:
    data = bytearray.fromhex(given["file"])
    if "flip" in given:
        data[given["flip"]] ^= 1
    data = data[: given.get("cut", len(data))] + bytes.fromhex(given.get("append", ""))
    size = HEAD_BYTES[parse_start(bytes(data))]
    reader = BundleReader(_opened(given, bytes(data[:size])))
    events = list(reader.feed(bytes(data[size:])))
    reader.close()
    return {"envelopes": sum(isinstance(event, Carried) for event in events)}


KINDS = {"bundle-head": read_head, "bundle-records": read_records, "bundle-file": read_file}
