"""Alerts as people read them: the inbox, our own with their recipients, one in full (SCHEMAS §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.casebook import id_text, parse_id
from almenara.node.clock import rfc3339
from almenara.node.deliveries import CARRIED_BLIND
from almenara.node.health import UNACKNOWLEDGED_NEXT, UNACKNOWLEDGED_REASON
from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol.alert import parse_view
from almenara.protocol.codec import decode
from almenara.protocol.errors import NewerVersion
from almenara.protocol.limits import MAX_ALERT_BODY
from almenara.protocol.object import ObjectType, parse_object
from almenara.protocol.vocabulary import TLP

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.links import Links
    from almenara.node.storage.engine import Store, Transaction
    from almenara.node.storage.rows import AlertRow, DeliveryRow
    from almenara.node.timekeeper import Timekeeper
    from almenara.node.urgent import Urgent

INBOX_MAX = 500  # alerts in one answer

WAIT = N_("Nothing to do: it goes out by itself when they are connected again.")
ASK_THEM = N_("Ask them to look at their node's log, and tell them in another way meanwhile.")
ASK_STEWARD = N_("Their own confirmation can take some hours; if it is urgent, tell them in another way.")


class Readings:
    """Reads alerts; decides nothing."""

    def __init__(self, store: Store, clock: Timekeeper, circles: Circles, links: Links, urgent: Urgent) -> None:
        self._store, self._clock, self._circles, self._links = store, clock, circles, links
        self._urgent = urgent

    async def inbox(self, after: str | None, limit: int) -> models.Inbox:
        """Others' alerts in order of arrival. Raises `Problem(MALFORMED)` for a cursor that is none."""
        position = _position(after)
        async with self._store.read() as tx:
            rows = await tx.alerts.inbox(position, max(1, min(limit, INBOX_MAX)))
        reached = rows[-1].position if rows else position
        return models.Inbox(alerts=[self._alert(row) for row in rows], next=str(reached))

    async def recent(self, before: str | None, limit: int) -> models.Inbox:
        """Others' alerts, newest first; `next` goes on to older ones and is empty at the end."""
        async with self._store.read() as tx:
            rows = await tx.alerts.recent(_position(before) if before else None, limit + 1)
        shown, more = rows[:limit], len(rows) > limit
        return models.Inbox(alerts=[self._alert(row) for row in shown], next=str(shown[-1].position) if more else "")

    async def sent(self) -> models.Sent:
        """Our own, newest first, each with how far it has come."""
        async with self._store.read() as tx:
            rows = await tx.alerts.own()
            details = [await self._detail(tx, row) for row in rows]
        return models.Sent(alerts=details)

    async def show(self, alert_id: str) -> models.AlertDetail:
        """One alert, ours or another's, its newest revision. Raises `Problem(NOT_FOUND)`.

        Should two authors use one id, it is ours, else that of whoever was first: nobody can put his over another's.
        """
        async with self._store.read() as tx:
            rows = await tx.alerts.get(parse_id(alert_id))
            if not rows:
                raise Problem(Kind.NOT_FOUND, field="alert_id")
            author = next((row.author for row in rows if row.own), rows[0].author)
            return await self._detail(tx, max((row for row in rows if row.author == author), key=_revision))

    async def _detail(self, tx: Transaction, row: AlertRow) -> models.AlertDetail:
        recipients = await self._deliveries(tx, row.alert_id) if row.own else None
        return models.AlertDetail(
            **self._fields(row),
            case_id=id_text(row.case_id) if row.case_id else None,
            recipients=recipients,
            versions=await self._versions(tx, row) if row.state == "forked" else None,
        )

    @staticmethod
    async def _versions(tx: Transaction, row: AlertRow) -> list[models.Version]:
        """The alerts among what stands against it; the first that came is the one shown as the alert."""
        forks = await tx.forks.of(row.author, row.alert_id)
        found = [(parse_object(fork.content), fork.found_at) for fork in forks if fork.content]
        alerts = [(one, at) for one, at in found if one.header.type is ObjectType.ALERT and one.body != row.body]
        return [models.Version(view=view_of(one.body), received_at=rfc3339(at)) for one, at in alerts]

    def _alert(self, row: AlertRow) -> models.Alert:
        return models.Alert(**self._fields(row))

    def _fields(self, row: AlertRow) -> dict[str, Any]:
        author = NodeId(row.author)
        circle = self._circles.known(row.circle_id)
        return {
            "alert_id": id_text(row.alert_id),
            "circle_id": id_text(row.circle_id),
            "circle": self._circles.title(circle) if circle else "",
            "author": models.Author(
                node_id=author.text,
                name=self._circles.cards.name(author),
                verified=row.own or self._circles.is_verified(author),
            ),
            "type": row.type,
            "state": "expired" if row.expires_at <= self._clock() and not self._clock.doubt() else row.state,
            "revision": row.revision,
            "tlp": TLP[row.tlp],
            "created_at": rfc3339(row.created_at),
            "received_at": rfc3339(row.received_at),
            "expires_at": rfc3339(row.expires_at),
            "view": view_of(row.body),
        }

    async def _deliveries(self, tx: Transaction, alert_id: bytes) -> list[models.Delivery]:
        rows = await tx.deliveries.of(alert_id)
        holders = await tx.carrying.holders({row.envelope_id for row in rows})
        blind = [holder.node_id for holder in holders]
        members = [row.node_id for row in rows if row.state == "stored"]
        return [self._delivery(row, blind, members) for row in rows]

    def _delivery(self, row: DeliveryRow, blind: list[bytes], members: list[bytes]) -> models.Delivery:
        """`blind` are carriers that hold it, `members` those who have it and pass it on."""
        node = NodeId(row.node_id)
        carriers = [] if row.state == "stored" else blind + (members if row.state == "carried" else [])
        reason, advice = row.reason, ""
        match row.state:
            case "queued" | "sent" if not self._links.connected(row.node_id):
                reason = reason or self._links.silence(row.node_id).reason
                advice = UNACKNOWLEDGED_NEXT if self._urgent.is_late(row.envelope_id, row.node_id) else WAIT
            case "queued" | "sent" if self._urgent.is_late(row.envelope_id, row.node_id):
                reason, advice = reason or UNACKNOWLEDGED_REASON, UNACKNOWLEDGED_NEXT
            case "failed":
                advice = ASK_THEM
            case "carried":
                reason = reason or CARRIED_BLIND
                advice = WAIT if self._circles.is_verified(node) else ASK_STEWARD
        return models.Delivery(
            node_id=node.text,
            name=self._circles.cards.name(node),
            state=row.state,
            carried_by=[self._circles.cards.name(NodeId(each)) for each in carriers],
            sent_at=rfc3339(row.sent_at) or None,
            stored_at=rfc3339(row.stored_at) or None,
            reason=reason,
            next=advice,
        )


def view_of(body: bytes) -> dict[str, Any]:
    """The slots by name; of a schema newer than ours only its number, so that nothing is guessed."""
    try:
        return parse_view(body)
    except NewerVersion:
        return {"schema": decode(body, MAX_ALERT_BODY)[0]}


def _revision(row: AlertRow) -> int:
    return row.revision


def _position(after: str | None) -> int:
    if not after:
        return 0
    if not after.isdecimal() or len(after) > 18:
        raise Problem(Kind.MALFORMED, field="after", expected="a cursor from an earlier answer")
    return int(after)
