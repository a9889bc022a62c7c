"""What people do again and again in tests with whole nodes: join a circle, send a case, look whether it arrived."""

from __future__ import annotations

from typing import Any

from almenara.node.service import LOCAL, Service
from tests.support.nodes import until

CASE: dict[str, Any] = {
    "title": "Persona Ficticia Uno, third summons",
    "narrative": "A plainly invented case.",
    "persons": [{"name": "Persona Ficticia Uno", "phone": "+57 300 000 0000"}],
    "threats": ["legal.warrant-summons", "intimidation.threat"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "target_unit": "individual",
    "place": {"country": "CO", "admin1": "CO-CAU"},
    "occurred_at": "2026-11-20T14:37-05:00",
    "consent": {"state": "share-network", "basis": "self"},
}


async def own_id(service: Service) -> str:
    """The node id a service answers with."""
    status = await service.status(LOCAL)
    assert status.node_id is not None
    return status.node_id


async def join(steward: Service, member: Service, circle_id: str, role: str = "member") -> None:
    """Invite, wait for the invitation, accept, and see that both sides know."""
    node = await own_id(member)
    await steward.invite_to_circle(LOCAL, circle_id, node, role)

    async def invited() -> bool:
        return any(c.circle_id == circle_id for c in (await member.circles(LOCAL)).circles)

    await until(invited, "the invitation")
    assert (await member.accept_circle(LOCAL, circle_id)).state == "active"


async def direct_circle(service: Service, peer: str) -> str:
    """The circle of two that a pairing made."""
    circles = (await service.circles(LOCAL)).circles
    (found,) = [c.circle_id for c in circles if c.kind == "direct" and peer in {m.node_id for m in c.members}]
    return found


async def send(service: Service, circle_id: str, case: dict[str, Any] | None = None) -> str:
    """Write a case, preview it, send it; returns the alert id."""
    record = await service.save_case(LOCAL, case or CASE)
    assert record.state == "ready", record.problems
    shown = await service.preview(LOCAL, record.case_id, circle_id)
    sent = await service.send(
        LOCAL, record.case_id, circle_id, body_sha256=shown.body_sha256, statement=shown.statement
    )
    return sent.alert_id


async def arrived(service: Service, alert_id: str) -> None:
    """Wait until the alert stands in the inbox, once."""

    async def there() -> bool:
        return [a.alert_id for a in (await service.inbox(LOCAL, None, 500)).alerts].count(alert_id) == 1

    await until(there, "the alert in the inbox")


async def stored(service: Service, alert_id: str) -> None:
    """Wait until every recipient has acknowledged our alert."""

    async def everywhere() -> bool:
        recipients = (await service.alert(LOCAL, alert_id)).recipients or []
        return {recipient.state for recipient in recipients} == {"stored"}

    await until(everywhere, "stored at every recipient")
