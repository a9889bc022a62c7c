"""Reader of the vectors of the flow in a session; see `vector_kinds_objects`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.protocol.flow import Credit, Have, Want
from almenara.protocol.messages import Ack, Message, Push, parse_message
from almenara.protocol.session import DECOY_BYTES, Outcome, Session

from .vector_kinds_objects import octets

if TYPE_CHECKING:
    from collections.abc import Callable

    Given = dict[str, Any]
    Found = dict[str, Any]


def say(session: Session, message: Message) -> bytes:
    """Say by the session's own means what a vector has us say."""
    match message:
        case Push():
            return session.push(message.lane, message.position, message.envelope)
        case Have():
            return session.have(message.places)
        case Want():
            return session.want(message.places)
        case Credit():
            return session.grant(message.lane, message.amount)
        case Ack():
            outcomes = [(position, Outcome(outcome)) for position, outcome in message.outcomes]
            return session.ack(message.lane, message.cursor, outcomes)
        case _:
            raise AssertionError(message)


def read_flow(given: Given) -> Found:
    """Open a session, then follow the script: what is said, and what is heard; `then` ends a long frame."""
    own, peer = NodeId(octets(given, "own")), NodeId(octets(given, "peer"))
    session = Session(own, peer, octets(given, "nonce"), octets(given, "log_epoch"))
    opening = [bytes.fromhex(frame) for frame in given["opening"]]
    session.receive(opening[0], given["now_min"])
    session.hello(given["now_min"])
    session.interest(bytes(range(256))[:DECOY_BYTES])
    session.cursors({})
    for frame in opening[1:]:
        session.receive(frame, given["now_min"])
    names = []
    for line in given["script"]:
        assert line.keys() <= {"said", "heard", "then"}
        if "said" in line:
            frame = octets(line, "said")
            assert say(session, parse_message(frame)) == frame
        else:
            frame = octets(line, "heard") + bytes.fromhex(line.get("then", ""))
            names += [type(event).__name__ for event in session.receive(frame, given["now_min"])]
    return {"events": names}


KINDS: dict[str, Callable[[Given], Found]] = {"session-flow": read_flow}
