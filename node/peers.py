"""The organisations we are paired with: invite, join, compare, trust, remove (SCHEMAS §4, PROTOCOL §3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.clock import DAY_MS, MINUTE_MS, rfc3339
from almenara.node.groups import Groups, parse_node
from almenara.node.pairing import Code, NotPending, Pairing, PairingEnd, PairingFailed, PairingFault
from almenara.node.problem import Kind, Problem
from almenara.node.silence import CALLS_US, CHECK_LINE, FAULTS, NO_ADDRESS, Silence, of_caller
from almenara.node.storage.rows import PeerRow
from almenara.node.transport.errors import EndpointMalformed, Unreachable
from almenara.node.words import N_

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from almenara.node.cards import Cards
    from almenara.node.circles import Circles
    from almenara.node.config import Config
    from almenara.node.events import Events
    from almenara.node.links import Links
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.timekeeper import Timekeeper
    from almenara.protocol.card import Card, Introduction

UNCONFIRMED_MS = DAY_MS  # a code nobody compared is forgotten
_COMPARING = frozenset({"unconfirmed", "waiting"})
_KNOWN = frozenset({"waiting", "verified", "blocked", "removed"})  # whose names stand, whatever they say of themselves

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
NO_PORT = N_("This node has no open port, so nobody could use its invitation.")
LET_THEM_INVITE = N_("Let the other organisation invite, and use its invitation here.")
SET_ADVERTISE = N_(
    "Let the other organisation invite; or write the address others reach this node at into peer.advertise, and start "
    "the node again."
)
COMPARE = N_("Compare the code by telephone or in person, then confirm.")
WAIT_FOR_THEM = N_("Ask them to compare the code and confirm on their side.")
USE_AGAIN = N_("Check that their node runs and can be reached, then use the invitation again.")
COMPARE_AGAIN = N_("Talk to them in another way, then pair again.")
KEY_CHANGED = N_("There are two cards with one number for this node: one of them may be false.")
NEW_NAME = N_("They now call themselves by another name. Here they keep the one they were verified under.")
ASK_ABOUT_NAME = N_("Ask them whether it is so; to take the new name, remove them and pair again.")
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
        clock: Timekeeper,
        events: Events,
    ) -> None:
        self._store, self._config, self._cards, self._circles = store, config, cards, circles
        self._groups, self._links, self._clock, self._events = groups, links, clock, events
        self.pairing: Pairing | None = None
        self.on_removed: Callable[[NodeId], Awaitable[None]] = _nothing

    async def load(self) -> None:
        """Take up trust where the last run left it."""
        async with self._store.read() as tx:
            rows = await tx.peers.all()
        self._circles.verified = {row.node_id for row in rows if row.state == "verified"}
        self._cards.called = {row.node_id: row.name for row in rows if row.state in _KNOWN}
        for row in rows:
            if row.state == "verified":
                self._links.keep(row.node_id, row.tls_cert, row.endpoints)

    # what people do

    async def invite(self) -> models.InvitationMade:
        """Raises `Problem(NOT_READY)` when no address is known at which others reach us."""
        endpoints = self._config.endpoints
        if not self._config.peer.listen:
            raise Problem(Kind.NOT_READY, NO_PORT, field="peer.listen", next=LET_THEM_INVITE)
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
        except Unreachable as error:
            found = FAULTS[error.fault]
            next_step = USE_AGAIN if found.next == CHECK_LINE else found.next  # nothing tries again by itself
            raise Problem(Kind.UNREACHABLE, found.reason, field="invitation", next=next_step) from None
        except EndpointMalformed:
            raise Problem(Kind.UNREACHABLE, NO_ADDRESS.reason, field="invitation", next=NO_ADDRESS.next) from None
        return await self._joined(code)

    async def _joined(self, code: Code) -> models.Peer:
        await self.on_code(code.node_id, code.introduction, code.code)
        return await self.get(NodeId(code.node_id).text)

    async def confirm(self, node_id: str, who: str) -> models.PeerChanged:
        """Our person found the codes equal; said again, it changes nothing. Raises `Problem`: NOT_FOUND, NOT_READY."""
        node = parse_node(node_id)
        self._clock.check()
        row = await self._row(node)
        if row.state == "verified":
            return models.PeerChanged(node_id=node.text, state=row.state)
        if row.state not in _COMPARING:
            raise self._no_code()
        if row.state == "unconfirmed":
            await self._set_from(row, "unconfirmed", state="waiting", confirmed_at=self._clock(), verified_by=who)
        try:
            await self._pairing.confirm(node.raw)
        except NotPending:
            await self._set_from(row, "waiting", state=row.state, confirmed_at=row.confirmed_at, verified_by="")
            raise self._no_code() from None
        self._events.publish("peers", node.text)
        return models.PeerChanged(node_id=node.text, state=(await self._row(node)).state)

    @staticmethod
    def _no_code() -> Problem:
        return Problem(Kind.NOT_READY, N_("There is no code to confirm any more."), field="node_id", next=ASK_FOR_NEW)

    async def remove(self, node_id: str) -> models.PeerChanged:
        """Cut first, then re-key: nothing flows from this moment on."""
        node = parse_node(node_id)
        await self._row(node)
        self._circles.verified.discard(node.raw)
        await self._links.drop(node.raw)
        await self._pairing.discard(node.raw)
        async with self._circles.change() as tx:
            await tx.peers.set(node.raw, state="removed", code="", reason="")
            await self._circles.end_direct(tx, node)
            await self._groups.remove_everywhere(tx, node)
        await self.on_removed(node)
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
        """Both sides have a code: show it, trust nothing yet.

        A verified peer that pairs again has removed us, or lost what it had, unless it is connected this moment.
        """
        async with self._store.write() as tx:
            held = await tx.peers.get(node_id)
            if held is not None and self._stands(held, code):
                return
            await tx.peers.put(self._unconfirmed(held, introduction, code))
        if held is not None and held.state == "verified":
            self._circles.verified.discard(node_id)
            await self._links.drop(node_id)
        self._events.publish("peers", NodeId(node_id).text)

    def _stands(self, held: PeerRow, code: str) -> bool:
        if held.state == "verified":
            return held.code == code or self._links.connected(held.node_id)
        return held.state in _COMPARING and held.code == code

    def _unconfirmed(self, held: PeerRow | None, introduction: Introduction, code: str) -> PeerRow:
        profile, card, now = introduction.profile, introduction.card, self._clock()
        return PeerRow(
            node_id=card.node_id.raw,
            state="unconfirmed",
            name=profile.name,
            kind=profile.kind,
            country=profile.country,
            reason="",
            code=code,
            endpoints=card.endpoints,
            tls_cert=card.tls_cert,
            initiator=False,
            paired_at=now,
            confirmed_at=None,
            verified_at=None,
            verified_by="",
            last_contact_at=now,
            direct_circle=held.direct_circle if held else None,
        )

    async def on_paired(self, node_id: bytes, introduction: Introduction, initiator: bool) -> None:
        """Both people have confirmed: trust, connect, and if we invited, found the direct circle.

        It may come again after a crash, when the peer is verified already, or has even been removed or blocked since.
        """
        node, card = NodeId(node_id), introduction.card
        async with self._circles.change() as tx:
            held = await tx.peers.get(node_id)
            if held is None or held.state not in _COMPARING:
                return
            await self._cards.decide(tx, card)
            await self._circles.take_introduction(tx, introduction.encode())
            await self._circles.end_direct(tx, node)
            direct = await self._found_direct(tx, node) if initiator else None
            row = replace(
                held,
                state="verified",
                reason="",
                verified_at=self._clock(),
                initiator=initiator,
                tls_cert=card.tls_cert,
                endpoints=card.endpoints,
                direct_circle=direct,
            )
            await tx.peers.put(row)
        self._circles.verified.add(node_id)
        self._cards.called[node_id] = row.name
        self._links.keep(node_id, card.tls_cert, card.endpoints)
        self._events.publish("peers", node.text)

    async def _found_direct(self, tx: Transaction, node: NodeId) -> bytes:
        return await self._groups.found_direct(tx, node, self._config.sharing.retention_days)

    async def on_ended(self, node_id: bytes, end: PairingEnd) -> None:
        """A code came to nothing: forget the peer, unless there is a reason to show."""
        async with self._store.write() as tx:
            row = await tx.peers.get(node_id)
            if row is None or row.state not in _COMPARING:
                return
            if end is PairingEnd.EXPIRED and row.state == "unconfirmed":
                await self._forget(tx, row)
            else:
                await tx.peers.put(replace(row, state="removed", reason=_ENDS[end], code=""))
        self._events.publish("peers", NodeId(node_id).text)

    async def drop_unconfirmed(self) -> None:
        """A code that nobody confirmed for a day is forgotten."""
        async with self._store.write() as tx:
            rows = [row for row in await tx.peers.all() if row.state == "unconfirmed"]
            late = [row for row in rows if row.paired_at + UNCONFIRMED_MS <= self._clock()]
            for row in late:
                await self._forget(tx, row)
        for row in late:
            await self._pairing.discard(row.node_id)
            self._events.publish("peers", NodeId(row.node_id).text)

    async def _forget(self, tx: Transaction, row: PeerRow) -> None:
        """Somebody who was a peer before stays as a name in histories."""
        if row.direct_circle is None:
            await tx.peers.delete(row.node_id)
        else:
            await tx.peers.put(replace(row, state="removed", reason=_ENDS[PairingEnd.EXPIRED], code=""))

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
            elif card is not None and (card.tls_cert, card.endpoints) != (row.tls_cert, row.endpoints):
                await self._follow_card(row, card)

    async def _follow_card(self, row: PeerRow, card: Card) -> None:
        if await self._set_from(row, "verified", tls_cert=card.tls_cert, endpoints=card.endpoints):
            self._links.keep(row.node_id, card.tls_cert, card.endpoints)

    async def _block(self, row: PeerRow, reason: str) -> None:
        if not await self._set_from(row, "verified", state="blocked", reason=reason):
            return
        self._circles.verified.discard(row.node_id)
        await self._links.drop(row.node_id)
        self._events.publish("peers", NodeId(row.node_id).text)

    # small parts

    @property
    def _pairing(self) -> Pairing:
        if self.pairing is None:
            raise Problem(Kind.LOCKED)
        return self.pairing

    async def _set_from(self, row: PeerRow, before: str, **columns: Any) -> bool:
        """Change columns of a peer that is still in this state; returns whether it was."""
        async with self._store.write() as tx:
            held = await tx.peers.get(row.node_id)
            if held is None or held.state != before:
                return False
            await tx.peers.set(row.node_id, **columns)
            return True

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
                silence = self._silence(row)
                reason, advice = silence.reason, silence.next
            case "verified" if self._calls_itself_otherwise(row):
                reason, advice = NEW_NAME, ASK_ABOUT_NAME
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
            last_contact_at=rfc3339(self._clock() if connected else row.last_contact_at) or None,
            clock_difference_minutes=self._links.clock_difference(row.node_id),
            backlog=self._links.backlog(row.node_id),
            catching_up=self._catching_up(row.node_id),
            verified_at=rfc3339(row.verified_at) or None,
            verified_by=row.verified_by or None,
            reason=reason,
            next=advice,
        )

    def _silence(self, row: PeerRow) -> Silence:
        """Why no session with a verified peer is running."""
        silence = self._links.silence(row.node_id)
        if silence is not CALLS_US:
            return silence
        return of_caller(row.last_contact_at or 0, self._clock(), we_listen=bool(self._config.peer.listen))

    def _catching_up(self, node_id: bytes) -> models.CatchingUp | None:
        found = self._links.progress(node_id)
        return models.CatchingUp(expected=found.expected, received=found.received) if found else None

    def _calls_itself_otherwise(self, row: PeerRow) -> bool:
        profile = self._cards.profile(NodeId(row.node_id))
        return profile is not None and profile.name != row.name


async def _nothing(_: NodeId) -> None:
    """Until wired."""
