"""Nodes for tests of the protocol: keys from numbers, and one certificate for all, made once."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from almenara.crypto.certificate import make_tls_identity
from almenara.crypto.identity import RootKeys
from almenara.crypto.sealing import PrekeySecret
from almenara.crypto.signing import SigningKey
from almenara.protocol.card import Introduction, sign_card, sign_prekey, sign_profile

NOW = 29_800_000  # minutes since 1970: in August 2026


def seed(name: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(name.encode()).digest(length)


@functools.cache
def certificate(name: str) -> bytes:
    """A certificate; only its form matters, so it is made anew in each run."""
    return make_tls_identity(seed(name)).cert_der


@dataclass(frozen=True)
class TestNode:
    """All keys of one node, and its introduction."""

    __test__ = False

    root: RootKeys
    op: SigningKey
    prekey: PrekeySecret
    introduction: Introduction


@functools.cache
def node(name: str) -> TestNode:
    """The node of this name."""
    root = RootKeys.from_seeds(seed(name + " ed25519"), seed(name + " mldsa65"))
    op = SigningKey.from_seed(seed(name + " operational"))
    prekey = PrekeySecret.from_seed(seed(name + " prekey"))
    card = sign_card(
        root=root,
        counter=1,
        op_sign=op.public,
        tls_cert=certificate(name),
        endpoints=["127.0.0.1:7790"],
        issued=NOW,
        expires=NOW + 525_600,
    )
    profile = sign_profile(node_id=root.node_id, issued=NOW, name=name, kind="organisation", country="KE", key=op)
    signed = sign_prekey(node_id=root.node_id, public=prekey.public, issued=NOW, key=op)
    return TestNode(root, op, prekey, Introduction(card=card, profile=profile, prekey=signed))
