"""What people do in a run: found circles, invite and accept, send alerts, remove each other, leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from almenara.node.casebook import parse_id
from almenara.node.models import CircleNew
from almenara.node.problem import Problem
from almenara.node.service import LOCAL
from tests.simulation.ledger import Sent
from tests.support.mesh import CASE

if TYPE_CHECKING:
    from almenara.node.circle import Circle
    from tests.simulation.site import Site
    from tests.simulation.world import World

DAY_SECONDS = 86_400.0
FIRST_HOURS = 2.0  # before the faults and the alerts begin, circles form
SUBSCRIBERS = 0.2  # of those invited and not made stewards
# What an action may come to when its node is refused, full, or loses power in the middle of it.
Failed = (Problem, SQLAlchemyError, OSError, asyncio.CancelledError)


class People:
    """Acts at random times, at random sites that are up; whatever fails was not promised to anybody."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.chance("people")
        self._until = world.parameters.days * DAY_SECONDS

    async def work(self) -> None:
        """All of it, in the order of its times."""
        asked = self.world.parameters
        hours, early = FIRST_HOURS * 3600, asked.invitations * 2 // 3
        plan = [(hours * self.rng.random(), "found") for _ in range(asked.circles)]
        plan += [(hours * (1 + self.rng.random()), "invite") for _ in range(early)]
        for what, count in (
            ("invite", asked.invitations - early),
            ("send", asked.alerts),
            ("remove", asked.removals),
            ("leave", asked.leaves),
        ):
            plan += [(self.rng.uniform(3 * hours, self._until), what) for _ in range(count)]
        begun = self.world.loop.time()
        for at, what in sorted(plan):
            await asyncio.sleep(max(0.0, begun + at - self.world.loop.time()))
            self.world.spawn(self._act(what))

    async def _act(self, what: str) -> None:
        site = self._somebody()
        if site is None:
            return
        try:
            await {
                "found": self._found,
                "invite": self._invite,
                "send": self._send,
                "remove": self._remove,
                "leave": self._leave,
            }[what](site)
        except Failed as error:
            self.world.trace.note("refused", f"{site.name} {what} {type(error).__name__}")

    def _somebody(self) -> Site | None:
        running = [site for site in self.world.sites if site.listening]
        return self.rng.choice(running) if running else None

    def _groups(self, site: Site, *, steward: bool = False) -> list[Circle]:
        node = site.node
        found = [circle for circle in node.circles if circle.row.state == "active" and not circle.direct]
        return [circle for circle in found if not steward or circle.history.may_issue(site.id)]

    async def _found(self, site: Site) -> None:
        made = await site.service.create_circle(LOCAL, CircleNew(name=f"c-{site.name}", tier="network"))
        self.world.trace.note("found", f"{site.name} {made.circle_id}")

    async def _invite(self, site: Site) -> None:
        """Somebody invites a peer, and its people say yes a while later."""
        site = self._steward() or site
        groups = self._groups(site, steward=True)
        peers = [self.world.site(raw) for raw in sorted(site.node.circles.verified)]
        absent = [(circle, peer) for circle in groups for peer in peers if peer.id not in circle.history.recipients()]
        if not absent:
            return
        circle, peer = self.rng.choice(absent)
        await site.service.invite_to_circle(LOCAL, circle.id.hex(), peer.id.text, self._role())
        self.world.trace.note("invite", f"{site.name} {peer.name} {circle.id.hex()}")
        await asyncio.sleep(self.rng.expovariate(1 / 600.0))
        for _ in range(8):
            if await self._accepted(peer, circle.id):
                return
            await asyncio.sleep(self.rng.expovariate(1 / 7200.0))

    def _role(self) -> str:
        if self.rng.random() < self.world.parameters.stewards:
            return "steward"
        return "subscriber" if self.rng.random() < SUBSCRIBERS else "member"

    async def _accepted(self, peer: Site, circle_id: bytes) -> bool:
        if not peer.listening:
            return False
        circle = peer.node.circles.known(circle_id)
        if circle is None or circle.row.state != "invited":
            return circle is not None and circle.row.state == "active"
        await peer.service.accept_circle(LOCAL, circle_id.hex())
        self.world.trace.note("accept", f"{peer.name} {circle_id.hex()}")
        return True

    def _steward(self) -> Site | None:
        stewards = [site for site in self.world.sites if site.listening and self._groups(site, steward=True)]
        return self.rng.choice(stewards) if stewards else None

    async def _send(self, site: Site) -> None:
        candidates = [one for one in self.world.sites if one.listening and self._groups(one)]
        if not candidates:
            return
        site = self.rng.choice(candidates)
        await self.send_in(site, self.rng.choice(self._groups(site)))

    async def send_in(self, site: Site, circle: Circle) -> None:
        """Write a case, preview it, send it."""
        critical = self.rng.random() < 0.3
        case = CASE | {"urgency": "Immediate" if critical else "Expected"}
        record = await site.service.save_case(LOCAL, case)
        shown = await site.service.preview(LOCAL, record.case_id, circle.id.hex())
        sent = await site.service.send(
            LOCAL, record.case_id, circle.id.hex(), body_sha256=shown.body_sha256, statement=shown.statement
        )
        self._note(site, circle.id, sent.alert_id, shown)

    def _note(self, site: Site, circle_id: bytes, alert_id: str, shown: Any) -> None:
        circle = site.node.circles.find(circle_id)
        alert = Sent(
            alert_id=parse_id(alert_id),
            author=site.id.raw,
            circle=circle_id,
            statement=bytes.fromhex(shown.statement),
            audience=frozenset(self._raw(one.node_id) for one in shown.recipients),
            known_out=frozenset(node.raw for node in circle.history.out),
            at=self.world.loop.time(),
        )
        self.world.ledger.alerts[alert.alert_id] = alert
        self.world.trace.note("send", f"{site.name} {alert_id} to {len(alert.audience)}")

    def _raw(self, text: str) -> bytes:
        return next(site.id.raw for site in self.world.sites if site.id.text == text)

    async def _remove(self, site: Site) -> None:
        site = self._steward() or site
        circles = self._groups(site, steward=True)
        groups = [(circle, node) for circle in circles for node in self._removable(site, circle)]
        if not groups:
            return
        circle, node = self.rng.choice(groups)
        self.world.ledger.removed.add((circle.id, node.raw))
        await site.service.remove_from_circle(LOCAL, circle.id.hex(), node.text)
        self.world.trace.note("remove", f"{site.name} {self.world.site(node).name} {circle.id.hex()}")

    @staticmethod
    def _removable(site: Site, circle: Circle) -> list[Any]:
        return [node for node in circle.history.recipients() if node != site.id]

    async def _leave(self, site: Site) -> None:
        groups = self._groups(site)
        if groups:
            circle = self.rng.choice(groups)
            self.world.ledger.removed.add((circle.id, site.id.raw))
            await site.service.leave_circle(LOCAL, circle.id.hex())
            self.world.trace.note("leave", f"{site.name} {circle.id.hex()}")
