"""The next statement of a circle, as its steward makes it: a rotation, or with changes (PROTOCOL §5.3, §5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.statement import Cut, Role, Statement, ranked
from almenara.protocol.succession import check_successor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almenara.crypto.identity import NodeId
    from almenara.protocol.circle import CircleHistory


def successor(
    history: CircleHistory,
    *,
    issuer: NodeId,
    now_min: int,
    key_commit: bytes,
    carry_commit: bytes | None = None,
    admit: Mapping[NodeId, Role] | None = None,
    remove: Mapping[NodeId, tuple[Cut, ...]] | None = None,
    name: str | None = None,
    max_tlp: int | None = None,
    retention_days: int | None = None,
) -> Statement:
    """Make the statement that follows the current one: a rotation, or with changes.

    `admit` adds members or changes their role; `remove` names who goes, with cuts.  `carry_commit` None keeps the
    current one, as a mere rotation does; every change of members needs a fresh one.  Whoever is out is removed along
    (`history.reissues`).  Somebody whom a losing branch removed can be admitted again once a statement of the winning
    branch, with a higher number than that removal, has removed it too.

    Raises:
        LocalError: NOT_ALLOWED, the issuer may not issue, or removes itself (it drew the key, so it leaves instead);
            REMOVED, someone admitted is out for ever or must be removed first; what a Statement and `check_successor`
            refuse.

    """
    parent = history.current
    admit, remove = dict(admit or {}), history.reissues(issuer) | dict(remove or {})
    _check_wish(history, issuer, admit, remove)
    roles = {node: role for node, role in parent.members if node not in remove} | admit
    first = [node for node in parent.stewards if roles.get(node) is Role.STEWARD]
    more = sorted(node for node, role in roles.items() if role is Role.STEWARD and node not in first)
    child = Statement(
        circle=parent.circle_id,
        number=parent.number + 1,
        parent=parent.id,
        issuer=issuer,
        issued_min=max(now_min, parent.issued_min),
        name=parent.name if name is None else name,
        tier=parent.tier,
        max_tlp=parent.max_tlp if max_tlp is None else max_tlp,
        retention_days=parent.retention_days if retention_days is None else retention_days,
        members=ranked([*first, *more], {node: role for node, role in roles.items() if role is not Role.STEWARD}),
        removed=tuple(sorted(remove.items())),
        key_commit=key_commit,
        carry_commit=parent.carry_commit if carry_commit is None else carry_commit,
    )
    _check_child(history, child)
    return child


def _check_wish(
    history: CircleHistory, issuer: NodeId, admit: Mapping[NodeId, Role], remove: Mapping[NodeId, tuple[Cut, ...]]
) -> None:
    if not history.may_issue(issuer):
        raise LocalError(Defect.NOT_ALLOWED, "issuer", "a steward of the current statement who is not out")
    if issuer in remove:
        raise LocalError(Defect.NOT_ALLOWED, "removed", "somebody else; a steward itself leaves")
    for node in admit:
        if node in remove or not history.may_return(node):
            raise LocalError(Defect.REMOVED, "members", "nobody who is out, unless removed on this branch before")


def _check_child(history: CircleHistory, child: Statement) -> None:
    try:
        out_of_reach = check_successor(history.current, child)
    except RemoteError as error:
        raise LocalError.like(error) from None
    if not all(history.lineage.gone_by_itself(node, history.current) for node in out_of_reach):
        raise LocalError(Defect.RANK_TOO_LOW, "removed", "nobody of a higher rank who did not leave")
