"""Carriers of our circles, and for whom we carry."""

from __future__ import annotations

from almenara.node import models
from almenara.node.api.route import Call, Route


async def carriers(call: Call) -> models.CircleCarriers:
    """List who carries for a circle."""
    return await call.service.carriers(call.actor, call.path("circle_id"))


async def add(call: Call) -> models.CircleCarriers:
    """Ask a peer to carry."""
    return await call.service.add_carrier(call.actor, call.path("circle_id"), call.path("node_id"))


async def remove(call: Call) -> models.CircleCarriers:
    """Ask it no more."""
    return await call.service.remove_carrier(call.actor, call.path("circle_id"), call.path("node_id"))


async def carrying(call: Call) -> models.Carrying:
    """List for whom we carry."""
    return await call.service.carrying(call.actor)


async def set_quota(call: Call) -> models.Carrying:
    """Say how much a peer may leave here."""
    return await call.service.set_carry_quota(call.actor, call.path("node_id"), call.takes.quota_mb)


ROUTES = (
    Route(
        method="GET",
        path="/circles/{circle_id}/carriers",
        handle=carriers,
        answers=models.CircleCarriers,
        summary="List the peers that we asked to carry for a circle",
    ),
    Route(
        method="POST",
        path="/circles/{circle_id}/carriers/{node_id}",
        handle=add,
        answers=models.CircleCarriers,
        summary="Ask a verified peer that is not in the circle to carry for it",
    ),
    Route(
        method="DELETE",
        path="/circles/{circle_id}/carriers/{node_id}",
        handle=remove,
        answers=models.CircleCarriers,
        summary="Ask a peer no more to carry for a circle; it erases what it holds after a day",
    ),
    Route(
        method="GET",
        path="/carrying",
        handle=carrying,
        answers=models.Carrying,
        summary="List the peers for which this node carries, and how much",
    ),
    Route(
        method="POST",
        path="/carrying/{node_id}",
        handle=set_quota,
        takes=models.CarryQuota,
        answers=models.Carrying,
        summary="Say how much a peer may leave here; 0 stops carrying for it and erases what is here",
    ),
)
