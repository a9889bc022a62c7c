"""Bundles: alerts in a file, to carry on a stick where there is no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.admin_ui.visit import Route, Visit, Who
from almenara.node.api.bundles import download
from almenara.node.models import BundleAsked
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_

if TYPE_CHECKING:
    from aiohttp import web

    from almenara.node.models import BundleImported

NOT_TWICE = N_("The two passphrases are not the same.")


async def show(visit: Visit) -> web.StreamResponse:
    """What can be made, and where a file is taken in."""
    return await _page(visit)


async def export(visit: Visit) -> web.StreamResponse:
    """Make a bundle; the browser saves it."""
    try:
        bundle = await visit.service.export_bundle(visit.actor, _asked_for(visit))
    except Problem as problem:
        return await _page(visit, problem)
    with bundle:
        return await download(visit.request, bundle)


def _asked_for(visit: Visit) -> BundleAsked:
    """Raises `Problem(WRONG_TYPE)` when the passphrase was not typed the same twice."""
    if "passphrase" not in visit.form:
        return BundleAsked(to=visit.text("to"))
    passphrase = visit.form["passphrase"]
    if passphrase != visit.form.get("passphrase_again"):
        raise Problem(Kind.WRONG_TYPE, NOT_TWICE, field="passphrase_again")
    return BundleAsked(passphrase=passphrase)


async def take_in(visit: Visit) -> web.StreamResponse:
    """Take in a file, and show what it brought."""
    if visit.file is None:
        raise Problem(Kind.MALFORMED)
    try:
        found = await visit.service.import_bundle(visit.actor, visit.file, visit.form.get("file_passphrase") or None)
    except Problem as problem:
        return await _page(visit, problem)
    return await _page(visit, found=found)


async def _page(visit: Visit, problem: Problem | None = None, found: BundleImported | None = None) -> web.Response:
    peers = (await visit.service.peers(visit.actor)).peers
    names = {peer.node_id: peer.name for peer in peers}
    return visit.page(
        "bundles.html",
        status=problem.status if problem else 200,
        problem=problem,
        here="network",
        peers=[(peer.node_id, peer.name) for peer in peers if peer.state == "verified"],
        chosen=visit.text("to"),
        found=found,
        sender=names.get(found.sender or "", "") if found else "",
    )


ROUTES = (
    Route("GET", "/network/bundles", show, Who.ADMIN),
    Route("POST", "/network/bundles/export", export, Who.ADMIN),
    Route("POST", "/network/bundles/import", take_in, Who.ADMIN, upload=True),
)
