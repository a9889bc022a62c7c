"""The organisations we are paired with: invite, join, compare, trust, remove (SCHEMAS §4, PROTOCOL §3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.clock import DAY_MS, MINUTE_MS, Clock, minute_of, rfc3339
from almenara.node.groups import Groups, parse_node
from almenara.node.pairing import Code, NotPending, Pairing, PairingEnd, PairingFailed, PairingFault
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import PeerRow
from almenara.node.transport.errors import EndpointMalformed, Unreachable
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.cards import Cards
    from almenara.node.circles import Circles
    from almenara.node.config import Config
    from almenara.node.events import Events
    from almenara.node.links import Links
    from almenara.node.storage.engine import Store
    from almenara.protocol.card import Introduction

UNCONFIRMED_MS = DAY_MS  # a code nobody compared is forgotten

_FAULTS = {
    PairingFault.MALFORMED: N_("This is not an invitation."),
    PairingFault.OUR_OWN: N_("This is our own invitation; the other organisation must use it."),
    PairingFault.REFUSED: N_("The invitation was used, has expired, or somebody else is using it now."),
    PairingFault.BROKEN: N_("What came back breaks the rules; somebody may stand in between."),
    PairingFault.CERTIFICATE_TAKEN: N_("Another organisation already uses this certificate."),
}
_ENDS = {
    PairingEnd.EXPIRED: N_("Nobody confirmed in time."),
    PairingEnd.MISMATCH: N_("The codes were not the same; somebody may stand in between."),
    PairingEnd.CERTIFICATE_TAKEN: _FAULTS[PairingFault.CERTIFICATE_TAKEN],
}
ASK_FOR_NEW = N_("Ask the other organisation for a new invitation.")
SET_ADVERTISE = N_("Write the address others reach this node at into peer.advertise, then start the node again.")
COMPARE = N_("Compare the code by telephone or in person, then confirm.")
WAIT_FOR_THEM = N_("Ask them to compare the code and confirm on their side.")
CHECK_LINE = N_("Check that both nodes run and that their address is right; it is tried again by itself.")
NOT_CONNECTED = N_("Not connected.")
COMPARE_AGAIN = N_("Talk to them in another way, then pair again.")
KEY_CHANGED = N_("There are two cards with one number for this node: one of them may be false.")
REVOKED = N_("The organisation has revoked this node's keys.")


class Peers:
    """Operations on peers, and what pairing tells us."""

    def __init__(
        self,
        store: Store,
        config: Config,
        cards: Cards,
        circles: Circles,
        groups: Groups,
        links: Links,
        clock: Clock,
        events: Events,
    ) -> None:
        self._store, self._config, self._cards, self._circles = store, config, cards, circles
        self._groups, self._links, self._clock, self._events = groups, links, clock, events
        self.pairing: Pairing | None = None

    async def load(self) -> None:
        """Take up trust where the last run left it."""
        async with self._store.read() as tx:
            rows = await tx.peers.all()
        self._circles.verified = {row.node_id for row in rows if row.state == "verified"}
        for row in rows:
            if row.state == "verified":
                self._links.keep(row.node_id, row.tls_cert, row.endpoints)

    # what people do

    async def invite(self) -> models.InvitationMade:
        """Raises `Problem(NOT_READY)` when no address is known at which others reach us."""
        endpoints = self._config.endpoints
        if not endpoints:
            raise Problem(
                Kind.NOT_READY,
                N_("This node does not know the address at which others reach it."),
                field="peer.advertise",
                next=SET_ADVERTISE,
            )
        invitation = await self._pairing.open_invitation(endpoints[0])
        return models.InvitationMade(invitation=invitation.link, expires_at=rfc3339(invitation.expiry * MINUTE_MS))

    async def pair(self, link: str) -> models.Peer:
        """Use an invitation, up to the code. Raises `Problem`: INVITATION_INVALID, UNREACHABLE."""
        try:
            code = await self._pairing.join(link)
        except PairingFailed as error:
            raise Problem(Kind.INVITATION_INVALID, _FAULTS[error.fault], field="invitation", next=ASK_FOR_NEW) from None
        except (Unreachable, EndpointMalformed):
            raise Problem(Kind.UNREACHABLE, field="invitation", next=CHECK_LINE) from None
        return await self._joined(code)

    async def _joined(self, code: Code) -> models.Peer:
        await self.on_code(code.node_id, code.introduction, code.code)
        return await self.get(NodeId(code.node_id).text)

    async def confirm(self, node_id: str, who: str) -> models.PeerChanged:
        """Our person found the codes equal. Raises `Problem`: NOT_FOUND, NOT_READY."""
        node = parse_node(node_id)
        row = await self._row(node)
        if row.state in {"waiting", "verified"}:
            return models.PeerChanged(node_id=node.text, state=row.state)
        async with self._store.write() as tx:
            await tx.peers.put(replace(row, state="waiting", confirmed_at=self._clock(), verified_by=who))
        try:
            await self._pairing.confirm(node.raw)
        except NotPending:
            async with self._store.write() as tx:
                await tx.peers.put(row)
            raise Problem(
                Kind.NOT_READY, N_("There is no code to confirm any more."), field="node_id", next=ASK_FOR_NEW
            ) from None
        self._events.publish("peers", node.text)
        row = await self._row(node)
        return models.PeerChanged(node_id=node.text, state=row.state)

    async def remove(self, node_id: str) -> models.PeerChanged:
        """Cut first, then re-key: nothing flows from this moment on."""
        node = parse_node(node_id)
        row = await self._row(node)
        self._circles.verified.discard(node.raw)
        await self._links.drop(node.raw)
        await self._pairing.discard(node.raw)
        async with self._circles.change() as tx:
            await tx.peers.put(replace(row, state="removed", pairing=b"", code="", reason=""))
            direct = self._circles.direct_with(node)
            if direct is not None:
                await self._circles.set_state(tx, direct, "removed")
        await self._groups.remove_everywhere(node)
        self._events.publish("peers", node.text)
        return models.PeerChanged(node_id=node.text, state="removed")

    async def list(self) -> models.Peers:
        """Everybody, the removed last."""
        async with self._store.read() as tx:
            rows = await tx.peers.all()
        order = sorted(rows, key=lambda row: (row.state == "removed", row.name.casefold(), row.node_id))
        return models.Peers(peers=[self._model(row) for row in order])

    async def get(self, node_id: str) -> models.Peer:
        """Raises `Problem(NOT_FOUND)`."""
        return self._model(await self._row(parse_node(node_id)))

    # what pairing tells us

    async def on_code(self, node_id: bytes, introduction: Introduction, code: str) -> None:
        """Both sides have a code: show it, trust nothing yet."""
        profile, now = introduction.profile, self._clock()
        async with self._store.write() as tx:
            held = await tx.peers.get(node_id)
            if held is not None and held.state in {"waiting", "verified"}:
                return
            row = PeerRow(
                node_id=node_id,
                state="unconfirmed",
                name=profile.name,
                kind=profile.kind,
                country=profile.country,
                reason="",
                code=code,
                endpoints=introduction.card.endpoints,
                tls_cert=introduction.card.tls_cert,
                initiator=False,
                paired_at=held.paired_at if held and held.state == "unconfirmed" else now,
                confirmed_at=None,
                verified_at=None,
                verified_by="",
                last_contact_at=now,
                clock_difference_ms=None,
                direct_circle=None,
                pairing=b"",
            )
            await tx.peers.put(row)
        self._events.publish("peers", NodeId(node_id).text)

    async def on_paired(self, node_id: bytes, introduction: Introduction, initiator: bool) -> None:
        """Both people have confirmed: trust, connect, and if we invited, found the direct circle."""
        node, card = NodeId(node_id), introduction.card
        async with self._circles.change() as tx:
            held = await tx.peers.get(node_id)
            if held is None or held.state == "verified":
                return
            await self._cards.take_introduction(tx, introduction.encode(), minute_of(self._clock()))
            self._circles.verified.add(node_id)
            row = replace(
                held,
                state="verified",
                reason="",
                verified_at=self._clock(),
                initiator=initiator,
                tls_cert=card.tls_cert,
                endpoints=card.endpoints,
            )
            if initiator:
                days = self._config.sharing.retention_days
                row = replace(row, direct_circle=await self._groups.found_direct(tx, node, days))
            await tx.peers.put(row)
        self._links.keep(node_id, card.tls_cert, card.endpoints)
        self._events.publish("peers", node.text)

    async def on_ended(self, node_id: bytes, end: PairingEnd) -> None:
        """A code came to nothing: forget the peer, unless there is a reason to show."""
        async with self._store.write() as tx:
            row = await tx.peers.get(node_id)
            if row is None or row.state not in {"unconfirmed", "waiting"}:
                return
            await tx.peers.put(replace(row, state="removed", reason=_ENDS[end], code=""))
        self._events.publish("peers", NodeId(node_id).text)

    async def drop_unconfirmed(self) -> None:
        """A code that nobody confirmed for a day is forgotten."""
        async with self._store.write() as tx:
            for row in await tx.peers.all():
                if row.state == "unconfirmed" and row.paired_at + UNCONFIRMED_MS <= self._clock():
                    await tx.peers.delete(row.node_id)

    async def on_contact(self, node_id: bytes) -> None:
        """A session began or ended."""
        if node_id in self._circles.verified:
            await self._pairing.settled(node_id)
            async with self._store.write() as tx:
                await tx.peers.set(node_id, last_contact_at=self._clock())

    async def follow_cards(self) -> None:
        """New cards of peers: a renewed one moves pin and address, a conflict or a revocation blocks the peer."""
        async with self._store.read() as tx:
            rows = [row for row in await tx.peers.all() if row.state == "verified"]
        for row in rows:
            node = NodeId(row.node_id)
            card = self._cards.newest(node)
            if node.raw in self._cards.conflicts:
                await self._block(row, KEY_CHANGED)
            elif self._cards.is_revoked(node):
                await self._block(row, REVOKED)
            elif card is not None and (card.tls_cert != row.tls_cert or card.endpoints != row.endpoints):
                async with self._store.write() as tx:
                    await tx.peers.set(row.node_id, tls_cert=card.tls_cert, endpoints=card.endpoints)
                self._links.keep(row.node_id, card.tls_cert, card.endpoints)

    async def _block(self, row: PeerRow, reason: str) -> None:
        self._circles.verified.discard(row.node_id)
        await self._links.drop(row.node_id)
        async with self._store.write() as tx:
            await tx.peers.put(replace(row, state="blocked", reason=reason))
        self._events.publish("peers", NodeId(row.node_id).text)

    # small parts

    @property
    def _pairing(self) -> Pairing:
        if self.pairing is None:
            raise Problem(Kind.LOCKED)
        return self.pairing

    async def _row(self, node: NodeId) -> PeerRow:
        async with self._store.read() as tx:
            row = await tx.peers.get(node.raw)
        if row is None:
            raise Problem(Kind.NOT_FOUND, field="node_id")
        return row

    def _model(self, row: PeerRow) -> models.Peer:
        node, connected = NodeId(row.node_id), self._links.connected(row.node_id)
        reason, advice = row.reason, ""
        match row.state:
            case "unconfirmed":
                advice = COMPARE
            case "waiting":
                advice = WAIT_FOR_THEM
            case "verified" if not connected:
                reason, advice = self._links.fault(row.node_id) or NOT_CONNECTED, CHECK_LINE
            case "blocked":
                advice = COMPARE_AGAIN
        return models.Peer(
            node_id=node.text,
            name=row.name,
            kind=row.kind,
            country=row.country or None,
            state=row.state,
            code=row.code,
            connected=connected,
            last_contact_at=rfc3339(row.last_contact_at) or None,
            verified_at=rfc3339(row.verified_at) or None,
            verified_by=row.verified_by or None,
            reason=reason,
            next=advice,
        )
