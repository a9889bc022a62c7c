"""Readers of the vectors of codec, envelope, object, cards and pairing.

A reader takes a vector's input and returns what it found, or raises ProtocolError.  Bytes in a vector are hexadecimal.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.crypto.sealing import PrekeySecret
from almenara.crypto.signing import SigningKey
from almenara.protocol.card import (
    check_old_key,
    parse_card,
    parse_introduction,
    parse_prekey,
    parse_profile,
    supersedes,
)
from almenara.protocol.chain import HeaderChains
from almenara.protocol.codec import decode, encode
from almenara.protocol.envelope import envelope_id, open_circle, open_packet, parse_outer
from almenara.protocol.limits import MAX_FRAME
from almenara.protocol.object import (
    Header,
    check_against_envelope,
    check_size,
    header_hash,
    parse_header,
    parse_object,
    verify_object,
)
from almenara.protocol.pairing import Inviter, Joiner, Step, file_code, parse_link

if TYPE_CHECKING:
    from collections.abc import Callable

    Given = dict[str, Any]
    Found = dict[str, Any]


def octets(given: Given, name: str) -> bytes:
    """Return the bytes of this input."""
    return bytes.fromhex(given[name])


def read_codec(given: Given) -> Found:
    data = octets(given, "data")
    values = decode(data, given.get("max_bytes", MAX_FRAME))
    assert encode(values) == data
    return {"value": _shown(values)}


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def read_outer(given: Given) -> Found:
    envelope = octets(given, "envelope")
    outer = parse_outer(envelope)
    assert outer.pack() == envelope[:48]
    return {
        "suite": outer.suite,
        "tag": outer.tag.hex(),
        "created_hour": outer.created_hour,
        "cls": outer.cls,
        "lane": outer.lane,
        "kid": outer.kid.hex(),
        "id": envelope_id(envelope).hex(),
    }


def read_circle_envelope(given: Given) -> Found:
    return {"content": open_circle(octets(given, "envelope"), octets(given, "key")).hex()}


def read_packet_envelope(given: Given) -> Found:
    secret = PrekeySecret.from_seed(octets(given, "prekey_seed"))
    return {"content": open_packet(octets(given, "envelope"), NodeId(octets(given, "recipient")), secret).hex()}


def read_object(given: Given) -> Found:
    content = octets(given, "content")
    signed = parse_object(content)
    verify_object(signed, octets(given, "op_sign"))
    assert signed.encode() == content
    slots = {slot.name: getattr(signed.header, slot.name) for slot in fields(Header)}
    return {
        "header": {name: value.hex() if isinstance(value, bytes) else value for name, value in slots.items()},
        "header_bytes": signed.header.encode().hex(),
        "hash": signed.hash.hex(),
        "salt": signed.salt.hex(),
        "body": signed.body.hex(),
    }


def read_object_in_envelope(given: Given) -> Found:
    header = parse_object(octets(given, "content")).header
    outer = parse_outer(octets(given, "outer").ljust(given["size"], b"\0"))
    check_against_envelope(
        header, outer, circle=octets(given, "circle"), statement=octets(given, "statement"), cls=given["cls"]
    )
    check_size(header.type, given["size"])
    return {}


def read_card(given: Given) -> Found:
    card = parse_card(octets(given, "card"))
    return {
        "node_id": card.node_id.text,
        "counter": card.counter,
        "op_sign": card.op_sign.hex(),
        "tls_digest": card.tls_digest.hex(),
        "endpoints": list(card.endpoints),
        "suites": list(card.suites),
        "issued": card.issued,
        "expires": card.expires,
        "status": card.status.name.lower(),
        "previous_op": card.previous_op.name.lower(),
    }


def read_profile(given: Given) -> Found:
    profile = parse_profile(octets(given, "profile"), octets(given, "op_sign"))
    return {
        "node_id": profile.node_id.text,
        "issued": profile.issued,
        "name": profile.name,
        "kind": profile.kind,
        "country": profile.country,
    }


def read_prekey(given: Given) -> Found:
    prekey = parse_prekey(octets(given, "prekey"), octets(given, "op_sign"))
    return {
        "node_id": prekey.node_id.text,
        "public": prekey.public.hex(),
        "issued": prekey.issued,
        "kid": prekey.kid.hex(),
    }


def read_introduction(given: Given) -> Found:
    introduction = parse_introduction(octets(given, "introduction"))
    assert introduction.encode() == octets(given, "introduction")
    return {
        "node_id": introduction.node_id.text,
        "name": introduction.profile.name,
        "kid": introduction.prekey.kid.hex(),
    }


def read_succession(given: Given) -> Found:
    return {"verdict": supersedes(parse_card(octets(given, "held")), parse_card(octets(given, "received"))).value}


def read_old_key(given: Given) -> Found:
    check_old_key(
        parse_card(octets(given, "signer")),
        [parse_card(bytes.fromhex(later)) for later in given["later"]],
        created_min=given["created_min"],
        arrived_min=given["arrived_min"],
    )
    return {}


def read_chain(given: Given) -> Found:
    chains, headers = HeaderChains(), map(bytes.fromhex, given["headers"])
    verdicts = [chains.add(parse_header(data), header_hash(data)) for data in headers]
    return {
        "missing": [[[gap.start, gap.stop] for gap in verdict.missing] for verdict in verdicts],
        "forks": [
            [
                {"kind": fork.kind, "at": fork.at, "first": fork.first.hex(), "second": fork.second.hex()}
                for fork in verdict.forks
            ]
            for verdict in verdicts
        ],
    }


def read_invitation(given: Given) -> Found:
    invitation = parse_link(given["link"])
    assert invitation.link == given["link"].lower()
    return {
        "node_id": invitation.node_id.text,
        "tls_digest": invitation.tls_digest.hex(),
        "secret": invitation.secret.hex(),
        "expiry": invitation.expiry,
        "endpoint": invitation.endpoint,
        "id": invitation.id.hex(),
    }


def read_pairing(given: Given) -> Found:
    """Run one side against the messages it receives; it is stored and loaded again before each."""
    arguments = (
        parse_link(given["invitation"]),
        octets(given, "introduction"),
        SigningKey.from_seed(octets(given, "op_seed")),
        octets(given, "nonces"),
    )
    machine = Inviter(*arguments) if given["side"] == "inviter" else Joiner(*arguments)
    found: Found = {"opening": machine.opening().hex()} if isinstance(machine, Joiner) else {}
    found["replies"] = []
    for message in map(bytes.fromhex, given["messages"]):
        machine = type(machine).load(machine.dump(), arguments[2])
        found["replies"].append(_receive(machine, message, given).hex())
    return found | {
        "code": machine.code,
        "state": machine.state.name.lower(),
        "confirmation": _confirmation(machine),
    }


def _receive(machine: Inviter | Joiner, message: bytes, given: Given) -> bytes:
    if decode(message)[0] == Step.CONFIRM:
        machine.receive_confirm(message)
        return b""
    if isinstance(machine, Inviter):
        return machine.receive(message, given["now_min"])
    return machine.receive(message) or b""


def _confirmation(machine: Inviter | Joiner) -> str:
    """Return our own CONFIRM, made by a copy, so that the state stays what the messages made it."""
    return type(machine).load(machine.dump(), machine._key).confirm().hex()


def read_pairing_files(given: Given) -> Found:
    return {"code": file_code(octets(given, "own"), octets(given, "other"))}


KINDS: dict[str, Callable[[Given], Found]] = {
    "codec": read_codec,
    "envelope-outer": read_outer,
    "envelope-circle": read_circle_envelope,
    "envelope-packet": read_packet_envelope,
    "object": read_object,
    "object-in-envelope": read_object_in_envelope,
    "card": read_card,
    "profile": read_profile,
    "prekey": read_prekey,
    "introduction": read_introduction,
    "succession": read_succession,
    "old-key": read_old_key,
    "chain": read_chain,
    "invitation": read_invitation,
    "pairing": read_pairing,
    "pairing-files": read_pairing_files,
}
