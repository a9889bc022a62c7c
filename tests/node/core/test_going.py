"""Out of a circle: leaving, being removed, what can still be read, and coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from tests.support.circles import invite, join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_whoever_leaves_is_shown_as_left_and_gets_no_further_key(mesh: Mesh) -> None:
    """A steward re-keys by itself; the leaver's name stays in the history, and it reads nothing that comes after."""
    alpha, beta, gamma, circle = await trio(mesh)
    assert (await gamma.service.leave_circle(LOCAL, circle)).state == "left"
    await mesh.flow()
    for office in (alpha, beta):
        assert await office.members(circle) == {"alpha": "active", "beta": "active", "gamma": "left"}
        assert gamma.id not in office.circle(circle).current.roles
    current = alpha.circle(circle).current
    assert not gamma.node.keyring.holds(current.id)
    await alpha.send(circle)
    await mesh.flow()
    assert len(await beta.received()) == 1
    assert await gamma.received() == []
    assert await gamma.state(circle) == "left"


async def test_sending_waits_while_somebody_who_left_could_read(mesh: Mesh) -> None:
    """PROTOCOL §5.5, with the reason and the next step; it goes on as soon as a steward has drawn a new key."""
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    alpha.online = False
    await gamma.service.leave_circle(LOCAL, circle)
    await mesh.flow()
    record = await beta.service.save_case(LOCAL, mesh.case())
    with pytest.raises(Problem) as caught:
        await beta.service.preview(LOCAL, record.case_id, circle)
    assert caught.value.kind is Kind.NOT_READY
    assert caught.value.next
    shown = await beta.service.circle(LOCAL, circle)
    assert shown.reason
    assert shown.next
    assert "circle-held" in {p.code for p in (await beta.service.status(LOCAL)).problems}
    await beta.restart()
    assert [node.text for node in beta.node.circles.hold_reasons(beta.circle(circle))] == [gamma.text]
    alpha.online = True
    await mesh.flow()
    assert (await beta.service.preview(LOCAL, record.case_id, circle)).recipients[0].name == "alpha"


async def test_leaving_never_waits_for_others(mesh: Mesh) -> None:
    """Also while sending waits: that somebody who is out may read that we go does no harm."""
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    alpha.online = False
    await gamma.service.leave_circle(LOCAL, circle)
    await mesh.flow()
    assert (await beta.service.leave_circle(LOCAL, circle)).state == "left"
    alpha.online = True
    await mesh.flow()
    assert await alpha.members(circle) == {"alpha": "active", "beta": "left", "gamma": "left"}


async def test_the_keys_of_a_circle_we_left_run_out(mesh: Mesh) -> None:
    """No successor ever comes to us, so leaving itself starts the 9 and 37 days; the epoch key goes at once."""
    _, _, gamma, circle = await trio(mesh)
    held = gamma.circle(circle).id
    await gamma.service.leave_circle(LOCAL, circle)
    async with gamma.store.read() as tx:
        assert [row.epoch_key for row in await tx.statements.of(held)] == [None] * 3
    mesh.advance(days=36)
    await gamma.maintain()
    assert gamma.node.keyring.statements_of(held)
    mesh.advance(days=2)
    await gamma.maintain()
    assert not gamma.node.keyring.statements_of(held)


async def test_the_only_steward_cannot_leave_the_others_alone(mesh: Mesh) -> None:
    """With a second one it can, and the second re-keys although it ranks lower."""
    alpha, beta, gamma, circle = await trio(mesh)
    with pytest.raises(Problem) as caught:
        await alpha.service.leave_circle(LOCAL, circle)
    assert caught.value.kind is Kind.NOT_ALLOWED
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    await mesh.pair(delta, beta)
    await mesh.pair(delta, gamma)
    await join(mesh, alpha, circle, delta, "steward")
    assert (await alpha.service.leave_circle(LOCAL, circle)).state == "left"
    await mesh.flow()
    assert await beta.members(circle) == {"alpha": "left", "beta": "active", "gamma": "active", "delta": "active"}
    assert beta.circle(circle).current.issuer == delta.id


async def test_a_direct_circle_is_not_left(mesh: Mesh) -> None:
    """It ends with the pairing."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    for refused in (alpha.service.leave_circle(LOCAL, await alpha.direct(beta)),):
        with pytest.raises(Problem) as caught:
            await refused
        assert caught.value.kind is Kind.NOT_ALLOWED
    with pytest.raises(Problem) as caught:
        await alpha.service.remove_from_circle(LOCAL, await alpha.direct(beta), beta.text)
    assert caught.value.kind is Kind.NOT_ALLOWED


async def test_whoever_is_removed_is_told_and_cut_off(mesh: Mesh) -> None:
    """It learns of its removal by the statement that says so, and can read nothing later; others go on."""
    alpha, beta, gamma, circle = await trio(mesh)
    first = await alpha.send(circle)
    await mesh.flow()
    assert (await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)).state == "removed"
    second = await alpha.send(circle, title="Persona Ficticia Dos")
    await mesh.flow()
    assert await gamma.state(circle) == "removed"
    assert await gamma.received() == [first]
    assert await beta.received() == [first, second]
    assert await beta.members(circle) == {"alpha": "active", "beta": "active", "gamma": "removed"}
    assert await gamma.members(circle) == await beta.members(circle)
    record = await gamma.service.save_case(LOCAL, mesh.case())
    with pytest.raises(Problem) as caught:
        await gamma.service.preview(LOCAL, record.case_id, circle)
    assert (caught.value.kind, caught.value.got) == (Kind.NOT_READY, "removed")
    assert caught.value.next == "Ask a steward of the circle to invite you again."


async def test_somebody_away_for_several_keys_still_learns_of_its_removal(mesh: Mesh) -> None:
    """Every statement between the one it holds and its removal comes along, and no key."""
    alpha, beta, gamma, circle = await trio(mesh)
    gamma.online = False
    for _ in range(2):
        mesh.advance(days=7)
        await alpha.maintain()
        await mesh.flow()
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    removal = alpha.circle(circle).current
    mesh.advance(days=7)
    await alpha.maintain()
    await mesh.flow()
    gamma.online = True
    await mesh.flow()
    assert await gamma.state(circle) == "removed"
    assert gamma.circle(circle).current.id == removal.id
    assert not gamma.node.keyring.holds(removal.id)
    assert beta.circle(circle).current.number == removal.number + 1


async def test_what_a_removed_member_sends_afterwards_has_no_effect(mesh: Mesh) -> None:
    """Sealed under the old key, which others still hold for late arrivals: beyond its cut it does not count."""
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    before = await gamma.send(circle)
    await mesh.flow()
    gamma.online = False
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    await gamma.send(circle, title="Persona Ficticia Tres")
    gamma.online = True
    await mesh.push(gamma, beta)
    assert await beta.received() == [before]


async def test_a_removed_member_may_be_asked_again(mesh: Mesh) -> None:
    """It reads what comes after its return, and nothing of the time between."""
    alpha, beta, gamma, circle = await trio(mesh)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    await alpha.send(circle, title="Persona Ficticia Dos")
    await join(mesh, alpha, circle, gamma)
    last = await alpha.send(circle, title="Persona Ficticia Tres")
    await mesh.flow()
    assert await gamma.received() == [last]
    assert await beta.members(circle) == dict.fromkeys(("alpha", "beta", "gamma"), "active")
    await gamma.restart()
    assert await gamma.state(circle) == "active"


async def test_somebody_asked_again_before_it_knows_of_its_removal_can_answer(mesh: Mesh) -> None:
    """The invitation travels in another circle than the news, and may come first."""
    alpha, _, gamma, circle = await trio(mesh)
    gamma.online = False
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await invite(alpha, circle, gamma)
    gamma.online = True
    await mesh.push(alpha, gamma)
    assert await gamma.state(circle) == "invited"
    await gamma.service.accept_circle(LOCAL, circle)
    await mesh.flow()
    assert await gamma.state(circle) == "active"


async def test_a_leaver_may_come_back_and_be_removed_later(mesh: Mesh) -> None:
    """Left, then active, then removed: each shown as what it is, also after a restart."""
    alpha, _, gamma, circle = await trio(mesh)
    await gamma.service.leave_circle(LOCAL, circle)
    await mesh.flow()
    await join(mesh, alpha, circle, gamma)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    assert await gamma.state(circle) == "removed"
    assert (await alpha.members(circle))["gamma"] == "removed"
    for office in (alpha, gamma):
        await office.restart()
        await office.maintain()
        assert (await office.members(circle))["gamma"] == "removed"


async def test_who_may_remove_whom(mesh: Mesh) -> None:
    """Stewards alone, never a higher rank, never strangers, never oneself."""
    alpha, beta, gamma, circle = await trio(mesh)
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    await join(mesh, alpha, circle, delta, "steward")
    refusals = []
    for who, whom in ((beta, gamma), (delta, alpha), (alpha, alpha)):
        with pytest.raises(Problem) as caught:
            await who.service.remove_from_circle(LOCAL, circle, whom.text)
        refusals.append(caught.value.kind)
    stranger = await mesh.office("epsilon")
    with pytest.raises(Problem) as caught:
        await alpha.service.remove_from_circle(LOCAL, circle, stranger.text)
    refusals.append(caught.value.kind)
    assert refusals == [Kind.NOT_A_STEWARD, Kind.NOT_ALLOWED, Kind.NOT_ALLOWED, Kind.NOT_FOUND]
    assert (await alpha.service.remove_from_circle(LOCAL, circle, delta.text)).state == "removed"
