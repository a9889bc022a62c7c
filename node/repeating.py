"""Saying a live alert again after four weeks to those who are not known to have it (PROTOCOL §5.7).

Its envelope travels 35 days at most, whatever the alert's own expiry. What is said again is the same: id, revision,
salt and body; only the header is new, so that nobody takes it for another alert or for a contradiction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from almenara.crypto.identity import NodeId
from almenara.node.authoring import Author, Draft
from almenara.node.clock import DAY_MS, MINUTE_MS, minute_of
from almenara.node.problem import Problem
from almenara.protocol.object import ObjectType, parse_header

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.clock import Clock
    from almenara.node.deliveries import Deliveries
    from almenara.node.sharing import Sharing
    from almenara.node.storage.engine import Transaction
    from almenara.node.storage.rows import AlertRow, ObjectRow

AFTER_MS = 28 * DAY_MS  # a week before the envelope ends, so that the two overlap

log = structlog.get_logger()


class Repeating:
    """Looks for alerts of ours whose envelopes end before everybody has them."""

    def __init__(
        self, circles: Circles, author: Author, sharing: Sharing, deliveries: Deliveries, clock: Clock
    ) -> None:
        self._circles, self._author, self._sharing = circles, author, sharing
        self._deliveries, self._clock = deliveries, clock

    async def send_due(self, tx: Transaction) -> int:
        """Say again what is due; returns how many."""
        now = self._clock()
        alerts = await tx.alerts.unheard(now - AFTER_MS, now)
        return sum([await self._repeat(tx, alert) for alert in alerts])

    async def _repeat(self, tx: Transaction, alert: AlertRow) -> bool:
        """Only while it is ours to say: the circle as it was, or smaller, and consent as it is now.

        Whoever joined since was in no preview; that takes a person.
        """
        said = await tx.chains.newest_of(alert.author, alert.circle_id, alert.alert_id, int(ObjectType.ALERT))
        circle = self._circles.known(alert.circle_id)
        if said is None or circle is None or said.created_min * MINUTE_MS > self._clock() - AFTER_MS:
            return False
        rows = await tx.deliveries.of(alert.alert_id)
        recipients = self._circles.recipients(circle)
        if not {node.raw for node in recipients} <= {row.node_id for row in rows}:
            log.info("not-repeated", kind="newcomer")
            return False
        lacking = [NodeId(row.node_id) for row in rows if row.state in {"queued", "sent", "carried"}]
        lacking = [node for node in lacking if node in recipients]
        if not lacking or not await self._sharing.may_repeat(tx, alert, circle, recipients):
            return False
        try:
            statement_id = self._circles.sendable(circle)
        except Problem:
            return False  # with the next key
        posted = await self._author.post(tx, self._draft(alert, said, statement_id))
        await self._deliveries.repeated(tx, alert.alert_id, posted.envelope_id, lacking)
        return True

    @staticmethod
    def _draft(alert: AlertRow, said: ObjectRow, statement_id: bytes) -> Draft:
        header = parse_header(said.header)
        return Draft(
            circle_id=alert.circle_id,
            statement_id=statement_id,
            type=ObjectType.ALERT,
            body=said.body,
            tlp=header.tlp,
            expires_min=minute_of(alert.expires_at),
            lane=header.lane,
            ref_id=header.ref_id,
            revision=header.revision,
            salt=said.salt,
        )
