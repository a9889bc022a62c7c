"""Circles for tests: statements made by hand, so that wrong ones can be made too."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from almenara.crypto.identity import NodeId
from almenara.protocol.circle import CircleHistory
from almenara.protocol.lineage import Leave
from almenara.protocol.object import Header, ObjectType
from almenara.protocol.statement import Cut, Role, Statement, Terms, Tier, found_direct, found_group, ranked

NOW = 29_800_000
DAY = 1_440
S, M, R = Role.STEWARD, Role.MEMBER, Role.SUBSCRIBER
TERMS = Terms(name="c-andes", tier=Tier.NETWORK, max_tlp=3, retention_days=90)


def commit(name: str) -> bytes:
    """32 bytes that differ for different names."""
    return hashlib.sha256(name.encode()).digest()


def who(name: str) -> NodeId:
    """The node of this name; ids rise with the names."""
    return NodeId(name.encode().ljust(4, b"\0")[:4] + commit(name)[:28])


ANA, BEN, CLO, DIA, EVA, FAY = (who(name) for name in ("ana", "ben", "clo", "dia", "eva", "fay"))
_fresh = itertools.count()


def fresh() -> bytes:
    """A commitment that was never made before."""
    return commit(f"fresh {next(_fresh)}")


def first(*stewards: NodeId, others: dict[NodeId, Role] | None = None, **changes: Any) -> Statement:
    """Number 1 of a group, with as many members as a test needs at once."""
    slots: dict[str, Any] = {
        "circle": b"",
        "number": 1,
        "parent": b"",
        "issuer": stewards[0],
        "issued_min": NOW,
        "name": "c-andes",
        "tier": Tier.NETWORK,
        "max_tlp": 3,
        "retention_days": 90,
        "members": ranked(stewards, others or {}),
        "key_commit": commit("key 1"),
        "carry_commit": commit("carry 1"),
    }
    return Statement(**(slots | changes))


def follow(
    parent: Statement,
    issuer: NodeId,
    /,
    *,
    admit: dict[NodeId, Role] | None = None,
    remove: dict[NodeId, tuple[Cut, ...]] | None = None,
    mark: str = "",
    **changes: Any,
) -> Statement:
    """A child of `parent`: a rotation, or with members admitted and removed; the same arguments give the same bytes.

    `mark` makes otherwise equal children differ.
    """
    admit, remove = admit or {}, remove or {}
    roles = {node: role for node, role in parent.members if node not in remove} | admit
    old = [node for node in parent.stewards if roles.get(node) is S]
    new = sorted(node for node, role in roles.items() if role is S and node not in old)
    others = {node: role for node, role in roles.items() if role is not S}
    about = f"{parent.id.hex()} {issuer} {sorted(admit.items())} {sorted(remove)} {mark}"
    moved = set(roles) != set(parent.nodes)
    slots: dict[str, Any] = {
        "circle": parent.circle_id,
        "number": parent.number + 1,
        "parent": parent.id,
        "issuer": issuer,
        "issued_min": parent.issued_min + DAY,
        "name": parent.name,
        "tier": parent.tier,
        "max_tlp": parent.max_tlp,
        "retention_days": parent.retention_days,
        "members": ranked([*old, *new], others),
        "removed": tuple(sorted(remove.items())),
        "key_commit": commit("key " + about),
        "carry_commit": commit("carry " + about) if moved else parent.carry_commit,
    }
    return Statement(**(slots | changes))


def knowing(
    anchor: Statement,
    *statements: Statement,
    leaves: tuple[Leave, ...] = (),
    places: dict[Statement, Cut] | None = None,
) -> CircleHistory:
    """A history that was told these, each signed by its issuer."""
    history = CircleHistory(anchor)
    for statement in statements:
        history.add(statement, statement.issuer, (places or {}).get(statement))
    for leave in leaves:
        history.add_leave(leave)
    return history


def leave(author: NodeId, under: Statement, seq: int = 7, created_min: int | None = None) -> Leave:
    """A leave as its object would bring it."""
    created = under.issued_min + 60 if created_min is None else created_min
    return Leave(author=author, statement=under.id, cut=cut(author, seq), created_min=created)


def cut(author: NodeId, seq: int, incarnation: str = "first") -> Cut:
    """The cut after header `seq` of an author."""
    return Cut(commit(f"{author} {incarnation}")[:16], seq, hash_of(author, seq, incarnation))


def hash_of(author: NodeId, seq: int, incarnation: str = "first") -> bytes:
    """What stands for the hash of a header."""
    return commit(f"header {author} {incarnation} {seq}")


def header(author: NodeId, statement: Statement, /, seq: int = 0, incarnation: str = "first", **changes: Any) -> Header:
    """The header of an alert that this author sends under this statement."""
    slots: dict[str, Any] = {
        "type": ObjectType.ALERT,
        "author": author.raw,
        "circle": statement.circle_id,
        "statement": statement.id,
        "card_counter": 1,
        "incarnation": commit(f"{author} {incarnation}")[:16],
        "seq": seq,
        "prev": hash_of(author, seq - 1, incarnation) if seq else b"",
        "ref_id": commit("alert")[:16],
        "revision": 0,
        "body_commit": commit("body"),
        "created_min": statement.issued_min + 30,
        "expires_min": statement.issued_min + 30 + DAY,
        "tlp": 3,
        "lane": 0,
    }
    return Header(**(slots | changes))


def pair() -> Statement:
    """Number 1 of a direct circle of ANA and BEN."""
    return found_direct(
        inviter=ANA,
        joiner=BEN,
        issued_min=NOW,
        retention_days=90,
        key_commit=commit("key 1"),
        carry_commit=commit("carry 1"),
    )


def alone() -> Statement:
    """Number 1 of a group as it is really founded: by one node."""
    return found_group(TERMS, founder=ANA, issued_min=NOW, key_commit=commit("key 1"), carry_commit=commit("carry 1"))
