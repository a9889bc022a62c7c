"""Receipts: they say *stored* to authors who cannot hear it otherwise, seldom, and never of what is not held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.clock import HOUR_MS, MINUTE_MS
from almenara.node.receipts import AFTER_CRITICAL_MS, OTHERWISE_MS, SMALL_CIRCLE, due_at, wait_ms
from almenara.node.service import LOCAL
from almenara.protocol.limits import SMALL
from almenara.protocol.object import ObjectType
from almenara.protocol.receipt import parse_receipt
from tests.support.circles import join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")

ROUTINE = {"severity": "Minor"}


async def deliveries(office: Office, alert: str) -> dict[str, str]:
    """Recipients by name, with their state."""
    found = (await office.service.alert(LOCAL, alert)).recipients or []
    return {one.name: one.state for one in found}


async def written(office: Office, by: Office) -> list[Any]:
    """The receipts of a member that a node holds, with the sizes of their envelopes."""
    async with office.store.read() as tx:
        found = []
        for chain in await tx.chains.all():
            if chain.author == by.id.raw:
                rows = await tx.chains.objects_in(chain.chain_id, 0, chain.head_seq)
                receipts = [row for row in rows if row.type == ObjectType.RECEIPT]
                found += [(row, await tx.log.get(row.envelope_id)) for row in receipts]
    return found


async def pass_time(mesh: Mesh, minutes: int, *, every: int = 10) -> None:
    """Maintenance at every node, and everything that can travel."""
    for _ in range(0, minutes, every):
        mesh.advance(minutes=every)
        for office in mesh.offices.values():
            await office.maintain()
        await mesh.flow()


async def test_a_member_that_is_no_peer_says_stored_by_receipt(mesh: Mesh) -> None:
    """After something critical within the half hour; what was *carried* becomes *stored*, and nobody answers that."""
    alpha, beta, gamma, circle = await trio(mesh)
    alert = await beta.send(circle)
    await mesh.flow()
    assert await deliveries(beta, alert) == {"alpha": "stored", "gamma": "carried"}
    await pass_time(mesh, 40)
    assert await deliveries(beta, alert) == {"alpha": "stored", "gamma": "stored"}
    assert len(await written(beta, gamma)) == 1
    assert await written(beta, alpha) == [], "it is beta's peer, and has acknowledged"
    assert await written(gamma, beta) == [], "a receipt causes none"
    await pass_time(mesh, 24 * 60, every=60)
    assert len(await written(beta, gamma)) == 1, "nothing new, nothing said"


async def test_receipts_are_batched_and_wait_for_their_time(mesh: Mesh) -> None:
    """Ten routine alerts within hours make one receipt; a critical one does not wait for it."""
    _, beta, gamma, circle = await trio(mesh)
    sent = [await beta.send(circle, title=f"{number}", **ROUTINE) for number in range(10)]
    await mesh.flow()
    await pass_time(mesh, 170)
    assert await written(beta, gamma) == []
    await pass_time(mesh, 240)
    ((row, envelope),) = await written(beta, gamma)
    assert len(envelope.data) == SMALL
    told = parse_receipt(row.body, gamma.id.raw)
    assert [run.author for run in told.runs] == [beta.id.raw]
    assert {(await deliveries(beta, alert))["gamma"] for alert in sent} == {"stored"}
    await beta.send(circle, title="at once")
    await mesh.flow()
    await pass_time(mesh, 40)
    assert len(await written(beta, gamma)) == 2


async def test_a_receipt_does_not_say_stored_of_what_is_missing(mesh: Mesh) -> None:
    """A run ends where a number is missing; what comes later is told later."""
    alpha, beta, gamma, circle = await trio(mesh)
    first, lost, last = [await beta.send(circle, title=title) for title in ("one", "two", "three")]
    await mesh.push(beta, alpha)
    async with beta.store.read() as tx:
        gone = (await tx.deliveries.of(bytes.fromhex(lost.replace("-", ""))))[0].envelope_id
    await mesh.push(alpha, gamma, which=lambda found: found.envelope_id != gone)
    mesh.advance(minutes=40)
    await gamma.maintain()
    ((row, _),) = await written(gamma, gamma)
    assert len(parse_receipt(row.body, gamma.id.raw).runs) == 2
    await mesh.push(gamma, alpha)
    await mesh.push(alpha, beta)
    found = {alert: (await deliveries(beta, alert))["gamma"] for alert in (first, lost, last)}
    assert found == {first: "stored", lost: "carried", last: "stored"}
    alpha.given.clear()
    await mesh.flow()
    await pass_time(mesh, 60)
    assert (await deliveries(beta, lost))["gamma"] == "stored"


async def test_of_a_members_receipts_the_newest_is_kept_and_its_chain_stays_whole(mesh: Mesh) -> None:
    _, beta, gamma, circle = await trio(mesh)
    for title in ("one", "two"):
        await beta.send(circle, title=title)
        await mesh.flow()
        await pass_time(mesh, 40)
    older, newer = [row for row, _ in await written(beta, gamma)]
    assert older.body == older.salt == b""
    assert newer.body
    assert older.header_hash
    assert not (await beta.service.status(LOCAL)).problems


async def test_a_live_alert_is_said_again_at_day_28_to_whoever_is_not_known_to_have_it(mesh: Mesh) -> None:
    """Same id, revision, salt and body, new header: no second alert anywhere, and no contradiction."""
    alpha, beta, gamma, circle = await trio(mesh)
    gamma.online = False
    alert = await beta.send(circle)
    await mesh.flow()
    for _ in range(27):
        mesh.advance(days=1)
        await alpha.maintain()
        await beta.maintain()
        await mesh.flow()
    assert await copies(beta, alert) == 1
    mesh.advance(days=1.1)
    await beta.maintain()
    await beta.maintain()
    assert await copies(beta, alert) == 2
    assert await deliveries(beta, alert) == {"alpha": "stored", "gamma": "queued"}
    await mesh.flow()
    assert await alpha.received() == [alert]
    assert {row.state for row in (await alpha.service.inbox(LOCAL)).alerts} == {"current"}
    gamma.online = True
    await mesh.flow()
    await pass_time(mesh, 40)
    assert await gamma.received() == [alert]
    assert await deliveries(beta, alert) == {"alpha": "stored", "gamma": "stored"}


async def copies(office: Office, alert: str) -> int:
    """How many headers a node has made for an alert of its own."""
    ref = bytes.fromhex(alert.replace("-", ""))
    async with office.store.read() as tx:
        chains = [chain for chain in await tx.chains.all() if chain.author == office.id.raw]
        rows = [row for c in chains for row in await tx.chains.objects_in(c.chain_id, 0, c.head_seq)]
    return sum(row.ref_id == ref for row in rows)


async def test_nothing_is_said_again_to_a_newcomer_or_without_consent(mesh: Mesh) -> None:
    """Whoever joined since was in no preview; whose case is closed, of that nothing more goes out."""
    alpha, _, gamma, circle = await trio(mesh)
    gamma.online = False
    alert = await alpha.send(circle)
    closed = await alpha.send(circle, title="closed since")
    await mesh.flow()
    (case,) = [one.case_id for one in (await alpha.service.cases(LOCAL)).cases if one.title == "closed since"]
    await alpha.service.close_case(LOCAL, case)
    mesh.advance(days=28.5)
    async with alpha.store.write() as tx:
        assert await alpha.node.maintenance._repeating.send_due(tx) == 1
    assert [await copies(alpha, each) for each in (alert, closed)] == [2, 1]
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    await join(mesh, alpha, circle, delta)
    mesh.advance(days=28.5)
    async with alpha.store.write() as tx:
        assert await alpha.node.maintenance._repeating.send_due(tx) == 0


def test_the_wait_grows_with_the_circle() -> None:
    assert wait_ms(2, critical=True) == AFTER_CRITICAL_MS == 15 * MINUTE_MS
    assert wait_ms(SMALL_CIRCLE + 1, critical=False) == OTHERWISE_MS == 6 * HOUR_MS
    assert wait_ms(SMALL_CIRCLE + 2, critical=False) == 2 * OTHERWISE_MS
    assert wait_ms(100, critical=True) == 75 * MINUTE_MS


@pytest.mark.parametrize(
    ("a_day", "critical_every", "most_kib"), [(24, 8, 100), (8, 8, 100), (100, 4, 100), (1, 1, 400)]
)
def test_what_a_node_of_a_circle_of_100_receives_for_an_alert(a_day: int, critical_every: int, most_kib: int) -> None:
    """Two weeks, 94 members that are no peers of the authors: receipts times 4,096 bytes over alerts (ADR 0023).

    The bar of 100 KiB holds from a few alerts a day on; one alert a day costs what 93 receipts cost, and no more.
    """
    days, silent, total = 14, 94, 0
    for member in range(silent):
        told: int | None = None
        due: int | None = None
        for number in range(a_day * days):
            now = (number + 1) * 24 * HOUR_MS // a_day
            if due is not None and due <= now:
                told, due, total = due, None, total + 1
            wait = wait_ms(100, critical=number % critical_every == 0)
            due = due_at(now, told, due, wait, jitter=member / silent)
        total += due is not None
    print(f"{a_day} alerts a day: {total * SMALL / (a_day * days) / 1024:.0f} KiB for each")
    assert total * SMALL / (a_day * days) < most_kib * 1024
