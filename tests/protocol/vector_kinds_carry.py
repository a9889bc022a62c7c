"""How the vectors of carrying are read."""

from __future__ import annotations

from typing import Any

from almenara.crypto.identity import NodeId
from almenara.protocol.carry import CarriedScope, decoy_key, padded
from almenara.protocol.messages import Carry, encode_message
from almenara.protocol.session import DECOY_BYTES, CarryAsked, CarryTold, Greeted, Session

from .vector_kinds_objects import octets


def read_carry(given: dict[str, Any]) -> dict[str, Any]:
    """Hear the frames; once greeted, say what is to be said, and with `asks` a request to carry nothing."""
    own, peer = NodeId(octets(given, "own")), NodeId(octets(given, "peer"))
    session = Session(own, peer, octets(given, "nonce"), octets(given, "log_epoch"))
    found: dict[str, Any] = {}
    for frame in map(bytes.fromhex, given["frames"]):
        for event in session.receive(frame, given["now_min"]):
            match event:
                case Greeted():
                    session.hello(given["now_min"])
                    session.interest(bytes(range(256))[:DECOY_BYTES])
                    session.cursors({})
                    if given["asks"]:
                        session.carry(())
                case CarryAsked():
                    found["asked"] = [[scope.key.hex(), scope.week] for scope in event.scopes]
                case CarryTold():
                    found["told"] = [event.granted, event.used]
    return found


def read_padding(given: dict[str, Any]) -> dict[str, Any]:
    """What a node says when it asks for these scopes."""
    secret, carrier = octets(given, "secret"), NodeId(octets(given, "carrier"))
    scopes = [CarriedScope(bytes.fromhex(key), week) for key, week in given["scopes"]]
    told = padded(scopes, given["weeks"], lambda week, number: decoy_key(secret, carrier, week, number))
    return {"frame": encode_message(Carry(scopes=told)).hex()}


KINDS = {"carry": read_carry, "carry-padding": read_padding}
