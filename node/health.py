"""How the node is: what `status` says, and every red state with its reason and next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node import models
from almenara.node.clock import DAY_MS, HOUR_MS, MINUTE_MS, minute_of, rfc3339
from almenara.node.register import WAIT_FOR_STEWARD
from almenara.node.silence import CALLS_US
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.contradictions import Contradictions
    from almenara.node.links import Links
    from almenara.node.peers import Peers
    from almenara.node.storage.engine import Store
    from almenara.node.storage.rows import QuarantineRow
    from almenara.node.timekeeper import Timekeeper
    from almenara.node.urgent import Urgent

CLOCK_DIFFERENCE_MS = HOUR_MS  # PROTOCOL §9
QUARANTINE_SHOWN_MS = 7 * DAY_MS  # then it is history, and no red state any more

CLOCK_REASON = N_("Our clock and theirs differ by more than an hour.")
JUMP_REASON = N_("The clock of this computer has jumped by more than a day, or stood still while it was off.")
OFF_REASON = N_("The clock of this computer is more than an hour off from those of our peers.")
DOUBT_NEXT = N_(
    "Compare both times with a telephone. If this computer is right, say so; if not, set its date. Until then nothing "
    "is sent, erased or refused by date."
)
CLOCK_NEXT = N_("Compare both computers' date and time with a telephone, and set the wrong one.")
NOBODY_REASON = N_("This node is not paired with anybody, so it neither warns nor is warned.")
NOBODY_NEXT = N_("Invite an organisation you trust.")
QUARANTINE_REASON = N_("Messages were put aside because they break the rules.")
QUARANTINE_NEXT = N_("Nothing is lost on our side; tell the organisation that sent them.")
CARD_REASON = N_("Their card has expired: they have not said for two years that these keys are theirs.")
CARD_NEXT = N_("Ask them to connect their node; it renews the card by itself.")
HELD_REASON = N_("Somebody who is out could still read; sending in this circle waits for a new key.")
OVERDUE_REASON = N_("The key of this circle is older than a week, and no steward has renewed it.")
OVERDUE_NEXT = N_("Ask a steward to connect its node; sending goes on meanwhile.")
UNACKNOWLEDGED_REASON = N_("A critical alert of yours was not acknowledged by them.")
UNACKNOWLEDGED_NEXT = N_("It is offered again by itself, also through others. Tell them in another way now.")


class Health:
    """Collects what is wrong."""

    def __init__(
        self,
        store: Store,
        clock: Timekeeper,
        circles: Circles,
        peers: Peers,
        links: Links,
        urgent: Urgent,
        contradictions: Contradictions,
    ) -> None:
        self._store, self._clock, self._circles, self._peers, self._links = store, clock, circles, peers, links
        self._urgent, self._contradictions = urgent, contradictions

    async def status(self, basic: models.Status) -> models.Status:
        """`basic` with everything that only somebody signed in may know."""
        peers = (await self._peers.list()).peers
        async with self._store.read() as tx:
            held = await tx.alerts.count()
            put_aside = await tx.quarantine.recent(1)
            chains = await self._contradictions.problems(tx)
        verified = [peer for peer in peers if peer.state == "verified"]
        behind = [peer.catching_up for peer in peers if peer.catching_up is not None]
        problems = self._late_problems()
        problems += [problem for peer in peers if (problem := _peer_problem(peer)) is not None]
        problems += [*self._card_problems(verified), *self._clock_problems(), *self._circle_problems(), *chains]
        if not verified:
            problems.append(models.NodeProblem(code="no-peers", reason=NOBODY_REASON, next=NOBODY_NEXT))
        problems += [self._quarantine_problem(row) for row in put_aside if row.at > self._clock() - QUARANTINE_SHOWN_MS]
        counted = models.PeerCount(verified=len(verified), connected=sum(peer.connected for peer in verified))
        return basic.model_copy(
            update={
                "node_id": self._circles.own.text,
                "peers": counted,
                "alerts_held": held,
                "backlog": sum(peer.backlog for peer in peers),
                "catching_up": _together(behind),
                "problems": problems,
                "clock": self.clock() if self._clock.doubt() else None,
            }
        )

    def clock(self) -> models.Clock:
        """What this computer says, and where that may be wrong, what is likelier."""
        doubt = self._clock.doubt()
        if doubt is None:
            return models.Clock(computer=rfc3339(self._clock.computer()))
        reason = OFF_REASON if doubt.kind == "peers" else JUMP_REASON
        return models.Clock(
            computer=rfc3339(doubt.computer),
            supposed=rfc3339(doubt.supposed),
            doubt=doubt.kind,
            reason=reason,
            next=DOUBT_NEXT,
        )

    def _late_problems(self) -> list[models.NodeProblem]:
        late = sorted(self._urgent.late(), key=lambda node: node.raw)
        return [self._about(node, "alert-unacknowledged", UNACKNOWLEDGED_REASON, UNACKNOWLEDGED_NEXT) for node in late]

    def _quarantine_problem(self, row: QuarantineRow) -> models.NodeProblem:
        return self._about(NodeId(row.peer), "quarantine", QUARANTINE_REASON, QUARANTINE_NEXT)

    def _card_problems(self, verified: list[models.Peer]) -> list[models.NodeProblem]:
        """An expired card only warns (PROTOCOL §1)."""
        now_min = minute_of(self._clock())
        nodes = [NodeId.parse(peer.node_id) for peer in verified]
        cards = [card for node in nodes if (card := self._circles.cards.newest(node)) is not None]
        return [
            self._about(card.node_id, "card-expired", CARD_REASON, CARD_NEXT)
            for card in cards
            if card.expires <= now_min
        ]

    def _circle_problems(self) -> list[models.NodeProblem]:
        now_min = minute_of(self._clock())
        problems = []
        for circle in self._circles:
            code = ""
            if circle.row.state == "active" and self._circles.hold_reasons(circle):
                code, reason, advice = "circle-held", HELD_REASON, WAIT_FOR_STEWARD
            elif circle.row.state == "active" and circle.history.rotation_overdue(now_min):
                code, reason, advice = "key-overdue", OVERDUE_REASON, OVERDUE_NEXT
            if code:
                name = self._circles.title(circle)
                problems.append(models.NodeProblem(code=code, name=name, reason=reason, next=advice))
        return problems

    def _about(self, node: NodeId, code: str, reason: str, advice: str) -> models.NodeProblem:
        name = self._circles.cards.name(node)
        return models.NodeProblem(code=code, node_id=node.text, name=name, reason=reason, next=advice)

    def _clock_problems(self) -> list[models.NodeProblem]:
        shown = self.clock()
        if shown.doubt:
            return [models.NodeProblem(code="clock-in-doubt", reason=shown.reason, next=shown.next)]
        far = [each for each in self._links if abs(each.clock_difference_min) * MINUTE_MS > CLOCK_DIFFERENCE_MS]
        return [self._about(each.peer, "clock-difference", CLOCK_REASON, CLOCK_NEXT) for each in far]


def _together(behind: list[models.CatchingUp]) -> models.CatchingUp | None:
    if not behind:
        return None
    return models.CatchingUp(
        expected=sum(each.expected for each in behind), received=sum(each.received for each in behind)
    )


def _peer_problem(peer: models.Peer) -> models.NodeProblem | None:
    if peer.state == "blocked":
        code = "peer-blocked"
    elif peer.state == "verified" and not peer.connected and peer.reason != CALLS_US.reason:
        code = "peer-unreachable"
    else:
        return None
    return models.NodeProblem(code=code, node_id=peer.node_id, name=peer.name, reason=peer.reason, next=peer.next)
