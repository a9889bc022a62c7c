"""Several stewards, several keys: acting at once, taking turns, and what a removal on a losing branch still means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.clock import MINUTE_MS
from almenara.node.service import LOCAL
from tests.support.circles import accept, found, invite, join

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def two_stewards(mesh: Mesh) -> tuple[Office, Office, Office, Office, str]:
    """Alpha, rank 1, and beta, rank 2, each paired with gamma and delta, who are members."""
    alpha, beta, gamma, delta = [await mesh.office(name) for name in ("alpha", "beta", "gamma", "delta")]
    for inviter, joiner in ((alpha, beta), (alpha, gamma), (alpha, delta), (beta, gamma), (beta, delta)):
        await mesh.pair(inviter, joiner)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta, "steward")
    await join(mesh, alpha, circle, gamma)
    await join(mesh, alpha, circle, delta)
    return alpha, beta, gamma, delta, circle


def same(circle: str, *offices: Office) -> bool:
    """Whether all see one current statement and one set of people who are out."""
    views = {(o.circle(circle).current.id, o.circle(circle).history.out) for o in offices}
    return len(views) == 1


async def overdue(office: Office, name: str) -> bool:
    """Whether its status says, with a next step, that a circle's key should have been renewed."""
    problems = (await office.service.status(LOCAL)).problems
    return any(p.code == "key-overdue" and p.name == name and p.reason and p.next for p in problems)


async def test_two_stewards_who_act_at_once_converge(mesh: Mesh) -> None:
    """Both remove somebody while apart: the higher rank's statement wins, both removals hold, all agree."""
    alpha, beta, gamma, delta, circle = await two_stewards(mesh)
    alpha.online = False
    await beta.service.remove_from_circle(LOCAL, circle, delta.text)
    await mesh.flow()
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    alpha.online = True
    await mesh.flow()
    assert same(circle, alpha, beta)
    expected = {"alpha": "active", "beta": "active", "gamma": "removed", "delta": "removed"}
    assert await alpha.members(circle) == await beta.members(circle) == expected
    sent = await alpha.send(circle)
    await mesh.flow()
    assert await beta.received() == [sent]
    assert await gamma.received() == await delta.received() == []
    assert (await gamma.state(circle), await delta.state(circle)) == ("removed", "removed")


async def test_memory_after_a_restart_is_what_it_was(mesh: Mesh) -> None:
    """Branches, places and exits come back from the database, whatever order they first came in."""
    alpha, beta, gamma, delta, circle = await two_stewards(mesh)
    alpha.online = False
    await beta.service.remove_from_circle(LOCAL, circle, delta.text)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    alpha.online = True
    await mesh.flow()
    for office in (alpha, beta, gamma, delta):
        before = mesh.knowledge(office)
        await office.restart()
        assert mesh.knowledge(office) == before


async def test_whom_a_losing_steward_let_in_is_asked_again(mesh: Mesh) -> None:
    """Added on the branch that loses: shown with the next step, invited again, and then in, on both sides."""
    alpha, beta, _, _, circle = await two_stewards(mesh)
    epsilon = await mesh.office("epsilon")
    await mesh.pair(beta, epsilon)
    await invite(beta, circle, epsilon)
    await mesh.flow()
    alpha.online = False
    await accept(epsilon, circle)
    await mesh.flow()
    assert await epsilon.state(circle) == "active"
    mesh.advance(days=7)
    await alpha.maintain()
    alpha.online = True
    await mesh.flow()
    assert same(circle, alpha, beta)
    assert (await beta.service.circle(LOCAL, circle)).next
    assert "epsilon" not in {m.name for m in (await alpha.service.circle(LOCAL, circle)).members}
    await invite(beta, circle, epsilon)
    await mesh.flow()
    assert await epsilon.state(circle) == "invited"
    await accept(epsilon, circle)
    await mesh.flow()
    assert await epsilon.state(circle) == "active"
    assert same(circle, alpha, beta, epsilon)


async def test_somebody_a_losing_branch_removed_can_come_back(mesh: Mesh) -> None:
    """The removal holds until a statement of the winning branch stands for it; then the way in is open."""
    alpha, beta, gamma, delta, circle = await two_stewards(mesh)
    alpha.online = False
    await beta.service.remove_from_circle(LOCAL, circle, delta.text)
    await alpha.service.remove_from_circle(LOCAL, circle, delta.text)
    alpha.online = True
    await mesh.flow()
    assert (await alpha.members(circle))["delta"] == "removed"
    await join(mesh, alpha, circle, delta)
    assert same(circle, alpha, beta, gamma, delta)
    assert (await gamma.members(circle))["delta"] == "active"


async def test_the_key_is_renewed_every_seven_days_by_rank_one(mesh: Mesh) -> None:
    """The same members and terms under a fresh key, not a minute earlier, and by one steward only."""
    alpha, beta, gamma, delta, circle = await two_stewards(mesh)
    before = alpha.circle(circle).current
    mesh.now = before.issued_min * MINUTE_MS
    mesh.advance(days=7, minutes=-1)
    for office in (alpha, beta):
        await office.maintain()
    assert alpha.circle(circle).current.id == before.id
    mesh.advance(minutes=1)
    for office in (beta, alpha):
        await office.maintain()
    await mesh.flow()
    after = alpha.circle(circle).current
    assert (after.number, after.issuer, after.members) == (before.number + 1, alpha.id, before.members)
    assert after.key_commit != before.key_commit
    assert after.carry_commit == before.carry_commit
    assert same(circle, alpha, beta, gamma, delta)
    for office in (beta, gamma, delta):
        assert office.node.keyring.holds(after.id)


async def test_rank_two_renews_a_day_later_when_rank_one_is_away(mesh: Mesh) -> None:
    """PROTOCOL §5.3: rank r acts after 7 + r - 1 days. Overdue, it is said and stops nobody."""
    alpha, beta, gamma, _, circle = await two_stewards(mesh)
    alpha.online = False
    mesh.advance(days=7)
    await beta.maintain()
    number = beta.circle(circle).current.number
    mesh.advance(days=2.1)
    assert await overdue(gamma, "c-andes")
    await gamma.send(circle)
    await beta.maintain()
    await mesh.flow()
    assert beta.circle(circle).current.number == number + 1
    assert gamma.circle(circle).current.issuer == beta.id
    assert not await overdue(gamma, "c-andes")


async def test_direct_circles_get_fresh_keys_too(mesh: Mesh) -> None:
    """The same two, the same order."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    direct = await alpha.direct(beta)
    mesh.advance(days=7)
    await alpha.maintain()
    await mesh.flow()
    assert beta.circle(direct).current.number == 2
    assert beta.circle(direct).current.members == alpha.circle(direct).current.members
    await beta.send(direct)
    await mesh.flow()
    assert len(await alpha.received()) == 1


async def test_a_statement_of_a_steward_whose_clock_is_ahead_has_its_own_minute(mesh: Mesh) -> None:
    """`created_min` of the object is `issued_min` of the statement, also where that is the parent's and not our own."""
    alpha, beta, gamma, _, circle = await two_stewards(mesh)
    mesh.advance(minutes=30)
    await beta.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    mesh.advance(minutes=-30)
    await join(mesh, alpha, circle, gamma)
    assert same(circle, alpha, beta, gamma)


async def test_a_removal_that_only_opens_the_way_back_does_not_end_our_yes(mesh: Mesh) -> None:
    """Told of it by a member who does not know yet what follows: the newcomer still waits for its key."""
    alpha, beta, _, delta, circle = await two_stewards(mesh)
    alpha.online = False
    await beta.service.remove_from_circle(LOCAL, circle, delta.text)
    await alpha.service.remove_from_circle(LOCAL, circle, delta.text)
    alpha.online = True
    await mesh.flow()
    await invite(alpha, circle, delta)
    await mesh.flow()
    await accept(delta, circle)
    beta.online = False
    await mesh.push(delta, alpha)
    *_, opening, _ = alpha.circle(circle).history.chain
    assert opening.cuts_of(delta.id) is not None
    async with alpha.store.read() as tx:
        content = await tx.statements.content(opening.id)
    async with delta.node.circles.change() as tx:
        await delta.node.keydesk._take_object(tx, content)
    assert await delta.state(circle) == "accepted"
    beta.online = True
    await mesh.flow()
    assert await delta.state(circle) == "active"
