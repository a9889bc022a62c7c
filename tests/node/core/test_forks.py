"""Contradictions in authors' chains: both sides reach everybody, stay visible and marked, and their author waits."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from almenara.node.authoring import Draft
from almenara.node.home import Home
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.object import ObjectType
from tests.support.circles import trio
from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def copied(mesh: Mesh, office: Office) -> Office:
    """A second home with the same keys and the same past, started beside the first."""
    await office.close()
    folder = office.home.path.with_name(f"{office.name}-copy")
    shutil.copytree(office.home.path, folder)
    await office.open()
    copy = Office(office.name, Home(folder), office.identity, mesh, online=False)
    await copy.open()
    mesh.offices[f"{office.name}-copy"] = copy
    return copy


async def bring(mesh: Mesh, a: Office, b: Office) -> None:
    """Everything `a` has of their scopes, as repair brings it: also what somebody with the keys of `b` gave it."""
    hour = mesh.now // 3_600_000
    tags = a.node.keyring.scopes(hour).keys() & b.node.keyring.scopes(hour).keys()
    for lane in (0, 1):
        async with a.store.read() as tx:
            rows = await tx.log.after(lane, 0, tags, b.id.raw, exclude_source=b"", limit=1000)
        for row in rows:
            await mesh._deliver(a, b, lane, row)


async def problems(office: Office) -> dict[str, str | None]:
    """Red states by code, with the name."""
    return {one.code: one.name for one in (await office.service.status(LOCAL)).problems if one.code != "gap"}


async def states(office: Office) -> dict[str, str]:
    """Others' alerts with their state."""
    return {alert.alert_id: alert.state for alert in (await office.service.inbox(LOCAL)).alerts}


async def forked(mesh: Mesh) -> tuple[Office, Office, Office, str, str, str]:
    """Alpha has both of two alerts that stand in one place of beta's chain; the circle and the two."""
    alpha, beta, gamma, circle = await trio(mesh)
    copy = await copied(mesh, beta)
    copy.node.author._incarnation = beta.node.author.life[0]
    one, two = await beta.send(circle), await copy.send(circle, title="the other")
    await mesh.push(beta, alpha)
    await mesh.push(copy, alpha)
    return alpha, beta, gamma, circle, one, two


async def test_both_of_two_in_one_place_reach_everybody_and_are_marked(mesh: Mesh) -> None:
    """Passed on by a member that holds both; in either order of arrival the verdict is one."""
    alpha, _, gamma, _, one, two = await forked(mesh)
    await mesh.push(alpha, gamma, backwards=True)
    for office in (alpha, gamma):
        assert await states(office) == {one: "forked", two: "forked"}
        assert (await problems(office))["fork"] == "beta"
        assert [fork.kind for fork in (await office.service.forks(LOCAL)).forks] == ["seq"]
    mesh.advance(days=7.1)
    assert "fork" not in await problems(alpha), "then the marks say it"
    assert set((await states(alpha)).values()) == {"forked"}


async def test_what_is_contradicted_is_not_counted(mesh: Mesh) -> None:
    """Of two equal views, one forked, the preview counts one."""
    alpha, _, _, circle, _, _ = await forked(mesh)
    record = await alpha.service.save_case(LOCAL, mesh.case(title="the same view"))
    assert (await alpha.service.preview(LOCAL, record.case_id, circle)).same_view == 0


async def test_the_author_waits_for_a_human_in_that_circle_and_goes_on_with_a_new_chain(mesh: Mesh) -> None:
    alpha, beta, gamma, circle, _, _ = await forked(mesh)
    await bring(mesh, alpha, beta)
    assert "own-fork" in await problems(beta)
    with pytest.raises(Problem) as caught:
        await beta.send(circle, title="held")
    assert (caught.value.kind, caught.value.field) == (Kind.NOT_READY, "circle_id")
    assert caught.value.next
    await beta.send(await beta.direct(alpha), title="elsewhere nothing waits")
    await beta.restart()
    assert "own-fork" in await problems(beta), "stored"
    before = beta.node.author.life[0]
    assert (await beta.service.settle_forks(LOCAL)).settled == 1
    assert beta.node.author.life[0] != before
    assert await problems(beta) == {}
    after = await beta.send(circle, title="after")
    await mesh.push(beta, alpha)
    await mesh.push(alpha, gamma)
    assert (await states(gamma))[after] == "current"


async def test_two_bodies_for_one_revision_are_kept_both(mesh: Mesh) -> None:
    """One alert in the inbox, marked, and the other version beside it; also when both come in one batch."""
    alpha, beta, gamma, circle = await trio(mesh)
    alert, other = await beta.send(circle), await beta.send(circle, title="x", severity="Minor", urgency="Future")
    await again(beta, alert, body_of=other)
    await mesh.push(beta, alpha)
    await mesh.push(alpha, gamma, backwards=True)
    for office in (alpha, gamma):
        assert await states(office) == {alert: "forked", other: "current"}
        detail = await office.service.alert(LOCAL, alert)
        assert detail.versions is not None
        shown = {detail.view["severity"], *(one.view["severity"] for one in detail.versions)}
        assert shown == {"Severe", "Minor"}
        assert (await problems(office))["fork"] == "beta"
    assert (await alpha.service.alert(LOCAL, other)).versions is None


async def test_the_same_body_said_again_is_no_contradiction(mesh: Mesh) -> None:
    alpha, beta, _, circle = await trio(mesh)
    alert = await beta.send(circle)
    await again(beta, alert, body_of=alert, same_salt=True)
    await mesh.push(beta, alpha)
    assert await states(alpha) == {alert: "current"}
    assert await problems(alpha) == {}


@pytest.mark.parametrize("kind", [ObjectType.UPDATE, ObjectType.CANCEL, ObjectType.RETRACT])
@pytest.mark.parametrize("alert_first", [True, False])
async def test_what_follows_an_alert_counts_with_it(mesh: Mesh, kind: ObjectType, alert_first: bool) -> None:
    """An update with the number of the alert itself contradicts it; two acks and a dispute with one number do not."""
    alpha, beta, _, circle = await trio(mesh)
    alert = await beta.send(circle)
    await again(beta, alert, body_of=alert, kind=kind)
    if not alert_first:
        await mesh.push(beta, alpha, backwards=True)
    await mesh.push(beta, alpha)
    assert await states(alpha) == {alert: "forked"}
    ref = bytes.fromhex(alert.replace("-", ""))
    async with alpha.store.read() as tx:
        assert len(await tx.forks.of(beta.id.raw, ref)) == 1


async def again(office: Office, alert: str, *, body_of: str, kind: ObjectType = ObjectType.ALERT, **how: Any) -> None:
    """Post something about an alert of one's own under the revision it has."""
    ref, source = (bytes.fromhex(each.replace("-", "")) for each in (alert, body_of))
    async with office.node.circles.change() as tx:
        row = (await tx.alerts.get(ref))[0]
        said = await tx.chains.newest_of(row.author, row.circle_id, source, int(ObjectType.ALERT))
        assert said is not None
        draft = Draft(
            circle_id=row.circle_id,
            statement_id=row.statement_id,
            type=kind,
            body=said.body,
            tlp=row.tlp,
            expires_min=said.expires_min,
            ref_id=ref,
            revision=row.revision,
            salt=said.salt if how.get("same_salt") else b"",
        )
        await office.node.author.post(tx, draft)


async def test_two_live_copies_of_a_node_are_seen_by_its_peers_and_by_itself(mesh: Mesh) -> None:
    """Honest incarnations of a node follow each other; these each go on after the other began."""
    alpha, beta, gamma, circle = await trio(mesh)
    copy = await copied(mesh, beta)
    for hour in range(3):
        mesh.advance(minutes=90)
        for office in (beta, copy):
            await office.send(circle, title=f"{hour}")
            await mesh.push(office, alpha)
        await mesh.push(alpha, gamma)
    for office in (alpha, gamma):
        assert await problems(office) == {"copies": "beta"}
    await bring(mesh, alpha, beta)
    assert "own-copies" in await problems(beta)
    await beta.service.settle_forks(LOCAL)
    assert "own-copies" not in await problems(beta)
    mesh.advance(days=8)
    assert "copies" not in await problems(alpha)


async def test_restarts_are_no_copies(mesh: Mesh) -> None:
    """Not even when the date is an hour off between them."""
    alpha, beta, _, circle = await trio(mesh)
    for number in range(4):
        await beta.send(circle, title=f"{number}")
        beta.skew = -60 * 60_000 * (number % 2)
        await beta.restart()
        mesh.advance(minutes=5)
        await beta.send(circle, title=f"again {number}")
        mesh.advance(minutes=300)
    await mesh.push(beta, alpha)
    assert await problems(alpha) == {}
