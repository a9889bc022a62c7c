"""How the node is: what `status` says, and every red state with its reason and next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node import models
from almenara.node.clock import HOUR_MS, MINUTE_MS
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.circles import Circles
    from almenara.node.links import Links
    from almenara.node.peers import Peers
    from almenara.node.storage.engine import Store

CLOCK_DIFFERENCE_MS = HOUR_MS  # PROTOCOL §9

CLOCK_REASON = N_("Our clock and theirs differ by more than an hour.")
CLOCK_NEXT = N_("Compare both computers' date and time with a telephone, and set the wrong one.")
NOBODY_REASON = N_("This node is not paired with anybody, so it neither warns nor is warned.")
NOBODY_NEXT = N_("Invite an organisation you trust.")
QUARANTINE_REASON = N_("Messages were put aside because they break the rules.")
QUARANTINE_NEXT = N_("Nothing is lost on our side; tell the organisation that sent them.")


class Health:
    """Collects what is wrong."""

    def __init__(self, store: Store, circles: Circles, peers: Peers, links: Links) -> None:
        self._store, self._circles, self._peers, self._links = store, circles, peers, links

    async def status(self, basic: models.Status) -> models.Status:
        """`basic` with everything that only somebody signed in may know."""
        peers = (await self._peers.list()).peers
        async with self._store.read() as tx:
            held = await tx.alerts.count()
            put_aside = await tx.quarantine.count()
        verified = [peer for peer in peers if peer.state == "verified"]
        problems = [problem for peer in peers if (problem := _peer_problem(peer)) is not None]
        problems += self._clock_problems()
        if not verified:
            problems.append(models.NodeProblem(code="no-peers", reason=NOBODY_REASON, next=NOBODY_NEXT))
        if put_aside:
            problems.append(models.NodeProblem(code="quarantine", reason=QUARANTINE_REASON, next=QUARANTINE_NEXT))
        counted = models.PeerCount(verified=len(verified), connected=sum(peer.connected for peer in verified))
        return basic.model_copy(
            update={"node_id": self._circles.own.text, "peers": counted, "alerts_held": held, "problems": problems}
        )

    def _clock_problems(self) -> list[models.NodeProblem]:
        far = [each for each in self._links if abs(each.clock_difference_min) * MINUTE_MS > CLOCK_DIFFERENCE_MS]
        return [
            models.NodeProblem(
                code="clock-difference",
                node_id=each.peer.text,
                name=self._circles.cards.name(each.peer),
                reason=CLOCK_REASON,
                next=CLOCK_NEXT,
            )
            for each in far
        ]


def _peer_problem(peer: models.Peer) -> models.NodeProblem | None:
    if peer.state == "blocked":
        code = "peer-blocked"
    elif peer.state == "verified" and not peer.connected:
        code = "peer-unreachable"
    else:
        return None
    return models.NodeProblem(code=code, node_id=peer.node_id, name=peer.name, reason=peer.reason, next=peer.next)
