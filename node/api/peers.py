"""Invitations and peers: pairing, comparing, removing."""

from __future__ import annotations

from almenara.node import models
from almenara.node.api.requests import DiscoveryAsked, PairAsked
from almenara.node.api.route import Call, Route


async def invite(call: Call) -> models.InvitationMade:
    """Make a one-time invitation."""
    return await call.service.invite(call.actor)


async def pair(call: Call) -> models.Peer:
    """Use somebody's invitation; answers when the code is there to compare."""
    return await call.service.pair(call.actor, call.takes.invitation)


async def peers(call: Call) -> models.Peers:
    """List who we paired with."""
    return await call.service.peers(call.actor)


async def confirm(call: Call) -> models.PeerChanged:
    """Record that two people compared the code."""
    return await call.service.confirm_peer(call.actor, call.path("node_id"))


async def remove(call: Call) -> models.PeerChanged:
    """Cut a peer off."""
    return await call.service.remove_peer(call.actor, call.path("node_id"))


async def discovery(call: Call) -> models.Discovery:
    """Say whether we look for neighbours."""
    return await call.service.discovery(call.actor)


async def discover(call: Call) -> models.Discovery:
    """Look for neighbours."""
    return await call.service.discover(call.actor, call.takes.minutes)


async def stop_discovery(call: Call) -> models.Discovery:
    """Fall silent."""
    return await call.service.stop_discovery(call.actor)


ROUTES = (
    Route(
        method="POST",
        path="/invitations",
        handle=invite,
        answers=models.InvitationMade,
        status=201,
        summary="Make a one-time invitation for another organisation",
    ),
    Route(
        method="POST",
        path="/peers",
        handle=pair,
        takes=PairAsked,
        answers=models.Peer,
        status=201,
        summary="Use an invitation; waits up to 30 s, over Tor 55 s, for the code that both people compare",
    ),
    Route(
        method="GET", path="/peers", handle=peers, answers=models.Peers, summary="List peers and how they stand with us"
    ),
    Route(
        method="POST",
        path="/peers/{node_id}/confirm",
        handle=confirm,
        answers=models.PeerChanged,
        summary="Say that both people have compared the code and it is the same",
    ),
    Route(
        method="DELETE",
        path="/peers/{node_id}",
        handle=remove,
        answers=models.PeerChanged,
        summary="Cut a peer off and renew the keys of our circles without it",
    ),
    Route(
        method="GET",
        path="/discovery",
        handle=discovery,
        answers=models.Discovery,
        summary="Say whether this node looks for neighbours on the local network, and whom it heard",
    ),
    Route(
        method="POST",
        path="/discovery",
        handle=discover,
        takes=DiscoveryAsked,
        answers=models.Discovery,
        summary="Look for neighbours on the local network for some minutes; others there see that a node is here",
    ),
    Route(
        method="DELETE",
        path="/discovery",
        handle=stop_discovery,
        answers=models.Discovery,
        summary="Stop looking for neighbours",
    ),
)
