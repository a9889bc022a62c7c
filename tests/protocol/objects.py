"""Headers and objects for tests: one good alert, changed where a test needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from almenara.protocol.object import Header, ObjectType, SignedObject, body_commit, sign_object

from .nodes import NOW, node, seed

SALT = seed("salt")
BODY = b"a body of whatever schema"


def header(**changes: Any) -> Header:
    """The header of the first alert of node `alpha`."""
    good = Header(
        type=ObjectType.ALERT,
        author=node("alpha").root.node_id.raw,
        circle=seed("circle", 16),
        statement=seed("statement", 16),
        card_counter=1,
        incarnation=seed("incarnation", 16),
        seq=0,
        prev=b"",
        ref_id=seed("alert", 16),
        revision=0,
        body_commit=body_commit(SALT, BODY),
        created_min=NOW,
        expires_min=NOW + 129_600,
        tlp=3,
        lane=0,
    )
    return replace(good, **changes)


def signed(body: bytes = BODY, salt: bytes = SALT, **changes: Any) -> SignedObject:
    """An object of node `alpha` with this body."""
    return sign_object(header(body_commit=body_commit(salt, body), **changes), salt, body, node("alpha").op)
