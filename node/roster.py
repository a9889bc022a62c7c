"""A circle as people see it: terms, members by name, and what it waits for (SCHEMAS §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.casebook import id_text
from almenara.node.register import WAIT_FOR_STEWARD
from almenara.node.words import N_
from almenara.protocol.statement import Role
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.storage.rows import MemberRow

_ROLE_NAMES: dict[Role, models.RoleInCircle] = {
    Role.STEWARD: "steward",
    Role.MEMBER: "member",
    Role.SUBSCRIBER: "subscriber",
}

INVITED = N_("We were invited and have not answered.")
ANSWER = N_("Look at its terms and members, then accept or decline.")
ACCEPTED = N_("We accepted; the key has not come yet.")
WAIT_FOR_KEY = N_(
    "It comes when the node of the organisation that invited us is connected. If it takes long, ask them."
)
HELD = N_("Somebody who is out could still read; sending waits for a new key.")
STRANDED = N_("Two stewards changed the circle at the same time; an organisation that one of them added is not in it.")
INVITE_AGAIN = N_("Invite it again.")
CONTESTED = N_("A steward who went out had removed somebody who is still a member.")
LOOK_AT_MEMBERS = N_("Look at the members, and remove whoever should not be here.")


def show(circles: Circles, circle: Circle, members: list[MemberRow]) -> models.Circle:
    """The circle with everybody who is, was or is asked to be in it."""
    current = circle.current
    rows = {row.node_id: row for row in members}
    nodes = dict.fromkeys([*(node for node, _ in current.members), *(NodeId(raw) for raw in rows)])
    reason, advice = _what_it_waits_for(circles, circle)
    return models.Circle(
        circle_id=id_text(circle.id),
        name=circles.title(circle),
        tier=models.TIERS[circle.tier - 1],
        max_tlp=TLP[circle.max_tlp],
        retention_days=circle.retention_days,
        state=circle.row.state,
        kind="direct" if circle.direct else "group",
        stewards=[node.text for node in current.stewards],
        members=[_member(circles, circle, node, rows.get(node.raw)) for node in nodes],
        reason=reason,
        next=advice,
    )


def _what_it_waits_for(circles: Circles, circle: Circle) -> tuple[str, str]:
    """Reason and next step; empty where nothing is amiss."""
    match circle.row.state:
        case "invited":
            return INVITED, ANSWER
        case "accepted":
            return ACCEPTED, WAIT_FOR_KEY
        case "active" if circles.hold_reasons(circle):
            return HELD, WAIT_FOR_STEWARD
        case "active" if circle.history.contested:
            return CONTESTED, LOOK_AT_MEMBERS
        case "active" if circle.history.stranded and circle.history.may_issue(circles.own):
            return STRANDED, INVITE_AGAIN
        case _:
            return "", ""


def _member(circles: Circles, circle: Circle, node: NodeId, row: MemberRow | None) -> models.Member:
    profile = circles.cards.profile(node)
    verified = node == circles.own or circles.is_verified(node)
    role = circle.current.role_of(node) or Role(row.role if row else Role.MEMBER)
    return models.Member(
        node_id=node.text,
        name=circles.cards.name(node),
        kind=profile.kind if profile else "organisation",
        country=(profile.country or None) if profile else None,
        role=_ROLE_NAMES[role],
        state=row.state if row else "active",
        verified=verified,
        vouched_by=None if verified else _voucher(circles, circle, node),
    )


def _voucher(circles: Circles, circle: Circle, node: NodeId) -> str | None:
    """Who let it in, the last time it came."""
    inside = None
    for step in reversed(circle.history.chain):
        if node not in step.roles:
            break
        inside = step
    return circles.cards.name(inside.issuer) if inside else None
