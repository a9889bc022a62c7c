"""Which statement may follow which: the rules that look at a parent and its child alone (PROTOCOL §5.2).

What needs more than the two (a steward's own leave, rival children) is decided in `lineage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.statement import Role

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.protocol.statement import Statement


def check_successor(parent: Statement, child: Statement) -> frozenset[NodeId]:
    """Check that `child` may follow `parent`.

    Returns the stewards whom the child removes although its issuer does not outrank them.  They must have left by
    themselves, or been revoked by their own root keys; as long as neither is known, the child has no effect.

    Raises:
        RemoteError: WRONG_CIRCLE, UNKNOWN_PARENT, WRONG_NUMBER, TOO_EARLY, NOT_ALLOWED (issuer, or a fixed term),
            REMOVED (someone dropped without being named), NOT_SORTED (ranks), RANK_TOO_LOW, KEY_NOT_FRESH.

    """
    _check_place(parent, child)
    _check_terms(parent, child)
    _check_members(parent, child)
    _check_ranks(parent, child)
    _check_freshness(parent, child)
    return _out_of_reach(parent, child)


def _check_place(parent: Statement, child: Statement) -> None:
    if child.circle != parent.circle_id:
        raise RemoteError(Defect.WRONG_CIRCLE, "circle", "the parent's circle")
    if child.parent != parent.id:
        raise RemoteError(Defect.UNKNOWN_PARENT, "parent", "the id of the parent")
    if child.number != parent.number + 1:
        raise RemoteError(Defect.WRONG_NUMBER, "number", str(parent.number + 1), str(child.number))
    if child.issued_min < parent.issued_min:
        raise RemoteError(Defect.TOO_EARLY, "issued_min", "no earlier than the parent")
    if parent.role_of(child.issuer) is not Role.STEWARD:
        raise RemoteError(Defect.NOT_ALLOWED, "issuer", "a steward of the parent")


def _check_terms(parent: Statement, child: Statement) -> None:
    # Members joined, and authors minimise, for one tier; a wider audience is another circle.
    if child.tier is not parent.tier:
        raise RemoteError(Defect.NOT_ALLOWED, "tier", "the tier the circle was founded with")
    if child.direct is not parent.direct:
        raise RemoteError(Defect.NOT_ALLOWED, "name", "a direct circle stays direct, a group a group")


def _check_members(parent: Statement, child: Statement) -> None:
    if parent.direct and child.members != parent.members:
        raise RemoteError(Defect.NOT_ALLOWED, "members", "the same two, in the same order, in a direct circle")
    named = {node for node, _ in child.removed}
    if parent.nodes - child.nodes - named:
        raise RemoteError(Defect.REMOVED, "removed", "everybody who was a member and no longer is")


def _check_ranks(parent: Statement, child: Statement) -> None:
    staying = tuple(node for node in parent.stewards if child.role_of(node) is Role.STEWARD)
    # Otherwise a steward could lift itself above those who may remove it.
    if child.stewards[: len(staying)] != staying:
        raise RemoteError(Defect.NOT_SORTED, "members", "stewards of the parent first, in the parent's order")


def _check_freshness(parent: Statement, child: Statement) -> None:
    if child.key_commit == parent.key_commit:
        raise RemoteError(Defect.KEY_NOT_FRESH, "key_commit", "a fresh epoch key in every statement")
    # Newcomers get no scope of the past, the removed none of the future.
    if child.nodes != parent.nodes and child.carry_commit == parent.carry_commit:
        raise RemoteError(Defect.KEY_NOT_FRESH, "carry_commit", "a fresh carry secret with every change of members")


def _out_of_reach(parent: Statement, child: Statement) -> frozenset[NodeId]:
    above = parent.stewards[: parent.stewards.index(child.issuer)]
    fallen = [node for node in above if child.role_of(node) is not Role.STEWARD]
    if any(node in child.roles for node in fallen):
        raise RemoteError(Defect.RANK_TOO_LOW, "members", "a steward is lowered only by itself or a higher rank")
    return frozenset(fallen)
