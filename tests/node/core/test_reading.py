"""Reading alerts, and how far ours have come (SCHEMAS §4, §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from almenara.node import sharing
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.session import Outcome
from tests.support.circles import found, join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def states(office: Office, alert_id: str) -> dict[str, str]:
    """Of the recipients of an alert of ours, by name."""
    return {r.name: r.state for r in (await office.service.alert(LOCAL, alert_id)).recipients or []}


async def test_the_cursor_stays_when_nothing_came(mesh: Mesh) -> None:
    """`next` is always there, goes on exactly where it was, and a limit only splits the way."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    direct = await alpha.direct(beta)
    empty = await beta.service.inbox(LOCAL)
    assert (empty.alerts, empty.next) == ([], "0")
    sent = [await alpha.send(direct, title=f"Persona Ficticia {number}") for number in range(3)]
    await mesh.flow()
    first = await beta.service.inbox(LOCAL, empty.next, 2)
    second = await beta.service.inbox(LOCAL, first.next, 2)
    third = await beta.service.inbox(LOCAL, second.next, 2)
    assert [a.alert_id for page in (first, second, third) for a in page.alerts] == sent
    assert third.next == second.next
    assert [a.alert_id for a in (await beta.service.inbox(LOCAL, None, 0)).alerts] == sent[:1]
    later = await alpha.send(direct, title="Persona Ficticia Siete")
    await mesh.flow()
    assert [a.alert_id for a in (await beta.service.inbox(LOCAL, third.next)).alerts] == [later]
    assert (await alpha.service.inbox(LOCAL)).alerts == []


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "9" * 19])
async def test_a_cursor_that_is_none_is_refused(mesh: Mesh, cursor: str) -> None:
    """With the field."""
    alpha = await mesh.office("alpha")
    with pytest.raises(Problem) as caught:
        await alpha.service.inbox(LOCAL, cursor)
    assert (caught.value.kind, caught.value.field) == (Kind.MALFORMED, "after")


async def test_nobody_can_put_his_alert_over_anothers_id(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two authors with one alert id: both stand in the inbox, and the id shows whose it was first, or ours."""
    alpha, beta, gamma, circle = await trio(mesh)
    first = await alpha.send(circle)
    await mesh.flow()
    monkeypatch.setattr(sharing, "uuid4", lambda: UUID(first))
    monkeypatch.setattr(sharing, "FIRST_REVISION", 9)
    await gamma.send(circle, title="Persona Ficticia Dos", urgency="Past")
    await mesh.flow()
    assert [(a.alert_id, a.author.name) for a in (await beta.service.inbox(LOCAL)).alerts] == [
        (first, "alpha"),
        (first, "gamma"),
    ]
    for office in (alpha, beta):
        assert (await office.service.alert(LOCAL, first)).author.name == "alpha"
    assert (await gamma.service.alert(LOCAL, first)).author.name == "gamma"


async def test_queued_sent_stored(mesh: Mesh) -> None:
    """Each with reason and next step while it is under way, through restarts of the author."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    beta.online = False
    alert = await alpha.send(await alpha.direct(beta))
    (waiting,) = (await alpha.service.alert(LOCAL, alert)).recipients or []
    assert (waiting.state, bool(waiting.reason), bool(waiting.next)) == ("queued", True, True)
    await alpha.restart()
    async with alpha.store.read() as tx:
        (row,) = await tx.deliveries.open()
    alpha.node.deliveries.sent(beta.id, [row.envelope_id])
    await alpha.node.deliveries.flush()
    assert await states(alpha, alert) == {"beta": "sent"}
    await alpha.restart()
    beta.online = True
    mesh.advance(minutes=3)
    await mesh.flow()
    (done,) = (await alpha.service.alert(LOCAL, alert)).recipients or []
    assert (done.state, done.reason, done.next) == ("stored", "", "")
    assert done.stored_at == (await beta.service.inbox(LOCAL)).alerts[0].received_at
    await alpha.node.deliveries.acknowledged(beta.id, [(row.envelope_id, Outcome.REFUSED)])
    assert await states(alpha, alert) == {"beta": "stored"}


async def test_carried_is_said_of_members_we_are_not_paired_with(mesh: Mesh) -> None:
    """Another member holds it for them; their own word can only reach us by receipts, which come later."""
    alpha, beta, gamma, circle = await trio(mesh)
    gamma.online = False
    alert = await beta.send(circle)
    assert await states(beta, alert) == {"alpha": "queued", "gamma": "queued"}
    await mesh.flow()
    assert await states(beta, alert) == {"alpha": "stored", "gamma": "carried"}
    carried = next(r for r in (await beta.service.alert(LOCAL, alert)).recipients or [] if r.name == "gamma")
    assert carried.reason
    assert carried.next
    await beta.restart()
    assert await states(beta, alert) == {"alpha": "stored", "gamma": "carried"}
    gamma.online = True
    await mesh.flow()
    assert await gamma.received() == [alert]
    assert await alpha.received() == [alert]


async def test_a_refusal_there_is_failed_here(mesh: Mesh) -> None:
    """With the reason and what to do; a later *stored* still counts."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    alert = await alpha.send(await alpha.direct(beta))
    async with alpha.store.read() as tx:
        (row,) = await tx.deliveries.open()
    await alpha.node.deliveries.acknowledged(beta.id, [(row.envelope_id, Outcome.REFUSED)])
    (failed,) = (await alpha.service.alert(LOCAL, alert)).recipients or []
    assert (failed.state, bool(failed.reason), bool(failed.next)) == ("failed", True, True)


async def test_an_acknowledgement_that_comes_with_the_commit_counts(mesh: Mesh) -> None:
    """The peer may answer before `send` has returned."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)

    def at_once() -> None:
        row = next(iter(alpha.node.deliveries._open), None)
        assert row is not None, "in the log, and nobody watches for its acknowledgement"

    direct = await alpha.direct(beta)
    alpha.node.circles.on_growth = at_once
    await alpha.send(direct)


async def test_sent_lists_ours_newest_first(mesh: Mesh) -> None:
    """Each with its recipients and its case."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    ids = [await alpha.send(circle, title=f"Persona Ficticia {number}") for number in range(2)]
    listed = (await alpha.service.sent(LOCAL)).alerts
    assert [a.alert_id for a in listed] == ids[::-1]
    assert all(a.recipients and a.case_id for a in listed)
    assert (await beta.service.sent(LOCAL)).alerts == []
