"""Circles: creating them, inviting, accepting, leaving, removing."""

from __future__ import annotations

from almenara.node import models
from almenara.node.api.route import Call, Query, Route


async def create(call: Call) -> models.Circle:
    """Found a circle; what is not given comes from the configuration (`sharing.*`)."""
    new: models.CircleNew = call.takes
    sharing = call.service.config.sharing
    usual = {"max_tlp": sharing.tlp, "retention_days": sharing.retention_days}
    given = {name: getattr(new, name) for name in new.model_fields_set}
    return await call.service.create_circle(call.actor, models.CircleNew(**(usual | given)))


async def circles(call: Call) -> models.Circles:
    """List circles with their members."""
    return await call.service.circles(call.actor)


async def invite(call: Call) -> models.MemberChanged:
    """Ask a verified peer to join."""
    role = call.request.query.get("role", "member")
    return await call.service.invite_to_circle(call.actor, call.path("circle_id"), call.path("node_id"), role)


async def remove(call: Call) -> models.MemberChanged:
    """Take a member out and renew the key."""
    return await call.service.remove_from_circle(call.actor, call.path("circle_id"), call.path("node_id"))


async def accept(call: Call) -> models.CircleChanged:
    """Say yes to an invitation."""
    return await call.service.accept_circle(call.actor, call.path("circle_id"))


async def leave(call: Call) -> models.CircleChanged:
    """Go."""
    return await call.service.leave_circle(call.actor, call.path("circle_id"))


ROUTES = (
    Route(
        method="POST",
        path="/circles",
        handle=create,
        takes=models.CircleNew,
        answers=models.Circle,
        status=201,
        summary="Found a circle; we are its steward",
    ),
    Route(
        method="GET", path="/circles", handle=circles, answers=models.Circles, summary="List circles with their members"
    ),
    Route(
        method="POST",
        path="/circles/{circle_id}/members/{node_id}",
        handle=invite,
        answers=models.MemberChanged,
        summary="Ask a verified peer to join a circle whose steward we are",
        query=(
            Query(
                name="role",
                summary="What it may do: a steward also issues statements, a subscriber does not author alerts",
                schema={"type": "string", "enum": ["steward", "member", "subscriber"], "default": "member"},
            ),
        ),
    ),
    Route(
        method="DELETE",
        path="/circles/{circle_id}/members/{node_id}",
        handle=remove,
        answers=models.MemberChanged,
        summary="Take a member out of a circle and renew its key",
    ),
    Route(
        method="POST",
        path="/circles/{circle_id}/accept",
        handle=accept,
        answers=models.CircleChanged,
        summary="Accept an invitation; waits up to 10 s for the key, then answers `accepted`",
    ),
    Route(
        method="POST",
        path="/circles/{circle_id}/leave",
        handle=leave,
        answers=models.CircleChanged,
        summary="Leave a circle",
    ),
)
