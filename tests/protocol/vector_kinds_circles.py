"""Readers of the vectors of circles, keys, scopes and sessions; see `vector_kinds_objects`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.protocol import keys, scope
from almenara.protocol.circle import CircleHistory
from almenara.protocol.lineage import Leave
from almenara.protocol.object import header_hash, parse_header
from almenara.protocol.session import DECOY_BYTES, Greeted, Session
from almenara.protocol.statement import Cut, parse_statement
from almenara.protocol.succession import check_successor

from .vector_kinds_objects import octets

if TYPE_CHECKING:
    from collections.abc import Callable

    from almenara.protocol.statement import Statement

    Given = dict[str, Any]
    Found = dict[str, Any]


def read_statement(given: Given) -> Found:
    statement = parse_statement(octets(given, "body"))
    assert statement.body == octets(given, "body")
    return {
        "circle": statement.circle_id.hex(),
        "hash": statement.hash.hex(),
        "direct": statement.direct,
        "stewards": [node.raw.hex() for node in statement.stewards],
    }


def read_statement_after(given: Given) -> Found:
    parent, child = parse_statement(octets(given, "parent")), parse_statement(octets(given, "child"))
    return {"out_of_reach": sorted(node.raw.hex() for node in check_successor(parent, child))}


def read_circle(given: Given) -> Found:
    """Take the set in every order; the answer must be one."""
    statements = [parse_statement(bytes.fromhex(body)) for body in given["statements"]]
    places = [_place(place) for place in given.get("places", [[]] * len(statements))]
    told = zip(statements, places, strict=True)
    found = [_told(given, order) for order in itertools.permutations(told)]
    assert all(each == found[0] for each in found)
    return found[0]


def _told(given: Given, statements: tuple[tuple[Statement, Cut | None], ...]) -> Found:
    history = CircleHistory(parse_statement(octets(given, "anchor")))
    for statement, place in statements:
        history.add(statement, statement.issuer, place)
    for leave in given["leaves"]:
        history.add_leave(_leave(leave))
    return {"current": history.current.id.hex(), "out": sorted(node.raw.hex() for node in history.out)}


def _place(given: list[Any]) -> Cut | None:
    return Cut(bytes.fromhex(given[0]), given[1], bytes.fromhex(given[2])) if given else None


def _leave(given: Given) -> Leave:
    return Leave(
        author=NodeId(octets(given, "author")),
        statement=octets(given, "statement"),
        cut=Cut(octets(given, "incarnation"), given["seq"], octets(given, "hash")),
        created_min=given["created"],
    )


def read_author(given: Given) -> Found:
    history = CircleHistory(parse_statement(octets(given, "anchor")))
    for body in given["statements"]:
        statement = parse_statement(bytes.fromhex(body))
        history.add(statement, statement.issuer)
    header = octets(given, "header")
    return {"role": int(history.check_author(parse_header(header), header_hash(header)))}


def read_class_key(given: Given) -> Found:
    place = (octets(given, "circle"), octets(given, "statement"), given["cls"])
    key = keys.class_key(octets(given, "epoch_key"), *place)
    return {"key": key.hex(), "kid": keys.kid(key, *place).hex()}


def read_key_packet(given: Given) -> Found:
    signed = keys.parse_key_packet(octets(given, "content"))
    statement = parse_statement(octets(given, "statement"))
    signed.verify(statement, NodeId(octets(given, "own")), octets(given, "giver_op_sign"))
    return {"number": signed.packet.number, "giver": signed.packet.giver.raw.hex()}


def read_scope(given: Given) -> Found:
    found = scope.scope(octets(given, "carry_secret"), given["week"])
    nonces = [bytes.fromhex(nonce) for nonce in given["nonces"]]
    shown = scope.proof(found.key, nonces[0], nonces[1], NodeId(octets(given, "prover")))
    return {"key": found.key.hex(), "tag": found.tag.hex(), "proof": shown.hex()}


def read_session(given: Given) -> Found:
    """Hear the frames; once greeted, say what is to be said, so that scopes can be proven."""
    own, peer = NodeId(octets(given, "own")), NodeId(octets(given, "peer"))
    session = Session(own, peer, octets(given, "nonce"), octets(given, "log_epoch"))
    session.set_scopes(scope.ScopeKey(scope.tag(key), key) for key in map(bytes.fromhex, given["scope_keys"]))
    names = []
    for frame in map(bytes.fromhex, given["frames"]):
        for event in session.receive(frame, given["now_min"]):
            names.append(type(event).__name__)
            if isinstance(event, Greeted):
                session.hello(given["now_min"])
                session.interest(bytes(range(256))[:DECOY_BYTES])
    return {"events": names, "proven": sorted(tag.hex() for tag in session.proven)}


KINDS: dict[str, Callable[[Given], Found]] = {
    "statement": read_statement,
    "statement-after": read_statement_after,
    "circle": read_circle,
    "author": read_author,
    "class-key": read_class_key,
    "key-packet": read_key_packet,
    "scope": read_scope,
    "session": read_session,
}
