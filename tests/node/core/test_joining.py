"""Into a circle: invited, answering, let in; whoever is away, whatever comes first, however often it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.models import CircleNew
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.invite import Invite
from almenara.protocol.object import ObjectType
from almenara.protocol.statement import Role, Statement, Tier
from tests.support.circles import accept, found, invite, join

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_invited_accepted_active(mesh: Mesh) -> None:
    """The three states, at both sides, and the terms come along."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    assert await invite(alpha, circle, beta) == "invited"
    assert await alpha.members(circle) == {"alpha": "active", "beta": "invited"}
    await mesh.flow()
    shown = await beta.service.circle(LOCAL, circle)
    assert (shown.state, shown.name, shown.tier, shown.max_tlp) == ("invited", "c-andes", "network", "TLP:AMBER+STRICT")
    assert shown.reason
    assert shown.next
    assert await accept(beta, circle) == "accepted"
    assert (await beta.service.circle(LOCAL, circle)).next
    await mesh.flow()
    assert await beta.state(circle) == "active"
    assert await alpha.members(circle) == await beta.members(circle) == {"alpha": "active", "beta": "active"}
    assert alpha.circle(circle).current.id == beta.circle(circle).current.id
    assert beta.circle(circle).row.joined_at == mesh.now


async def test_a_steward_who_is_away_lets_the_newcomer_in_when_back(mesh: Mesh) -> None:
    """The yes waits in the log; the newcomer may restart meanwhile."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    alpha.online = False
    assert await accept(beta, circle) == "accepted"
    await mesh.flow()
    await beta.restart()
    assert await beta.state(circle) == "accepted"
    alpha.online = True
    await mesh.flow()
    assert await beta.state(circle) == "active"


@pytest.mark.parametrize("restarts", [False, True])
async def test_the_key_may_come_before_its_statement(mesh: Mesh, restarts: bool) -> None:
    """Packets and statements take different ways; the key waits, also through a restart, and opens nothing else."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    await accept(beta, circle)
    await mesh.push(beta, alpha)
    current = alpha.circle(circle).current.id
    await mesh.push_only(alpha, beta, packets=True)
    assert not beta.node.keyring.holds(current)
    if restarts:
        await beta.restart()
    assert beta.node.keyring.tag(current, mesh.now // 3_600_000)
    assert await beta.state(circle) == "accepted"
    await mesh.push(alpha, beta)
    assert beta.node.keyring.holds(current)
    assert await beta.state(circle) == "active"


async def test_the_statement_may_come_before_its_key(mesh: Mesh) -> None:
    """By KEYS of another member, say."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    await accept(beta, circle)
    await mesh.push(beta, alpha)
    await mesh.push(alpha, beta, backwards=True)
    await mesh.flow()
    assert await beta.state(circle) == "active"


async def test_yes_said_twice_is_one_yes(mesh: Mesh) -> None:
    """Before the answer and after it; nobody issues a second statement for it."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    assert await accept(beta, circle) == "accepted"
    assert await accept(beta, circle) == "accepted"
    await mesh.flow()
    assert await accept(beta, circle) == "active"
    await mesh.flow()
    assert alpha.circle(circle).current.number == 2
    assert (await alpha.service.status(LOCAL)).problems == []


async def test_asked_twice_joins_once(mesh: Mesh) -> None:
    """The second invitation crosses the answer to the first."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    await accept(beta, circle)
    assert await invite(alpha, circle, beta) == "invited"
    await mesh.flow()
    assert await beta.state(circle) == "active"
    assert await alpha.members(circle) == {"alpha": "active", "beta": "active"}
    with pytest.raises(Problem) as caught:
        await invite(alpha, circle, beta)
    assert caught.value.kind is Kind.NOT_ALLOWED


async def test_no_is_told_and_can_become_yes(mesh: Mesh) -> None:
    """Declined, shown as left at both sides, asked again, accepted."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    assert (await beta.service.decline_circle(LOCAL, circle)).state == "left"
    await mesh.flow()
    assert await alpha.members(circle) == {"alpha": "active", "beta": "left"}
    with pytest.raises(Problem) as caught:
        await beta.service.accept_circle(LOCAL, circle)
    assert caught.value.kind is Kind.NOT_READY
    await join(mesh, alpha, circle, beta)


async def test_a_yes_can_be_taken_back_while_the_key_has_not_come(mesh: Mesh) -> None:
    """Nobody is stuck between accepted and active."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    alpha.online = False
    await accept(beta, circle)
    assert (await beta.service.decline_circle(LOCAL, circle)).state == "left"
    alpha.online = True
    await mesh.flow()
    assert await beta.state(circle) == "left"
    assert not beta.node.keyring.statements_of(beta.circle(circle).id)


async def test_an_invitation_taken_back_lets_nobody_in(mesh: Mesh) -> None:
    """The late yes is no offence, and no way in."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    await alpha.service.remove_from_circle(LOCAL, circle, beta.text)
    await accept(beta, circle)
    await mesh.flow()
    assert await alpha.members(circle) == {"alpha": "active", "beta": "removed"}
    assert alpha.circle(circle).current.number == 1
    assert (await alpha.service.status(LOCAL)).problems == []


async def test_nobody_becomes_a_member_without_saying_yes(mesh: Mesh) -> None:
    """A steward that lets us in unasked gives us a key, but no membership that we had not agreed to."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await invite(alpha, circle, beta)
    await mesh.flow()
    async with alpha.node.circles.change() as tx:
        held = alpha.circle(circle)
        await alpha.node.circles.set_member(tx, held, beta.id, "accepted")
        await alpha.service._open.groups._admission.admit(tx, held)
    await mesh.flow()
    assert await beta.state(circle) == "invited"
    assert not beta.node.keyring.statements_of(beta.circle(circle).id)


async def test_only_a_steward_asks_and_only_its_own_peers(mesh: Mesh) -> None:
    """SCHEMAS §4: only verified peers of a steward can be invited."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.pair(alpha, beta)
    await mesh.pair(beta, gamma)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    kinds = []
    for steward, node in ((alpha, gamma), (beta, gamma), (alpha, alpha)):
        with pytest.raises(Problem) as caught:
            await invite(steward, circle, node)
        kinds.append(caught.value.kind)
    assert kinds == [Kind.PEER_NOT_VERIFIED, Kind.NOT_A_STEWARD, Kind.PEER_NOT_VERIFIED]
    with pytest.raises(Problem) as caught:
        await invite(alpha, await alpha.direct(beta), beta)
    assert caught.value.kind is Kind.NOT_ALLOWED


async def test_an_invitation_by_somebody_who_is_no_steward_is_put_aside(mesh: Mesh) -> None:
    """A member cannot ask others into a circle in its own name."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.pair(alpha, beta)
    await mesh.pair(beta, gamma)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    beta.node.circles.find(beta.circle(circle).id).history.may_issue = lambda _node: True  # type: ignore[method-assign]
    await invite(beta, circle, gamma)
    await mesh.flow()
    assert await gamma.state(circle) == "unknown"
    (problem,) = (await gamma.service.status(LOCAL)).problems
    assert (problem.code, problem.name) == ("quarantine", "beta")


async def test_members_who_are_not_paired_are_vouched_for(mesh: Mesh) -> None:
    """Three in a circle around one steward: each knows the others' names, cards and who let them in."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.pair(alpha, beta)
    await mesh.pair(alpha, gamma)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    await join(mesh, alpha, circle, gamma, "subscriber")
    found_there = {m.name: m for m in (await beta.service.circle(LOCAL, circle)).members}
    assert {name: m.state for name, m in found_there.items()} == dict.fromkeys(("alpha", "beta", "gamma"), "active")
    assert (found_there["gamma"].verified, found_there["gamma"].vouched_by) == (False, "alpha")
    assert (found_there["alpha"].verified, found_there["alpha"].vouched_by) == (True, None)
    assert found_there["gamma"].role == "subscriber"


async def test_a_subscriber_receives_and_does_not_send(mesh: Mesh) -> None:
    """DESIGN §1: refused here already, before anybody else would refuse it."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta, "subscriber")
    record = await beta.service.save_case(LOCAL, mesh.case())
    with pytest.raises(Problem) as caught:
        await beta.service.preview(LOCAL, record.case_id, circle)
    assert (caught.value.kind, caught.value.field) == (Kind.NOT_ALLOWED, "circle_id")
    await alpha.send(circle)
    await mesh.flow()
    assert len((await beta.service.inbox(LOCAL)).alerts) == 1


async def test_a_second_steward_lets_people_in_too(mesh: Mesh) -> None:
    """Stewards made by invitation act for the circle."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.pair(alpha, beta)
    await mesh.pair(beta, gamma)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta, "steward")
    await join(mesh, beta, circle, gamma)
    assert await alpha.members(circle) == dict.fromkeys(("alpha", "beta", "gamma"), "active")
    assert len((await alpha.service.circle(LOCAL, circle)).stewards) == 2


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"name": "  "}, Kind.WRONG_TYPE, "name"),
        ({"name": "a\x07b"}, Kind.WRONG_TYPE, "name"),
        ({"name": "شبكة" * 20}, Kind.TOO_LONG, "name"),
        ({"max_tlp": "TLP:RED"}, Kind.TLP_ABOVE_CIRCLE, "max_tlp"),
        ({"max_tlp": "TLP:PURPLE"}, Kind.UNKNOWN_CODE, "max_tlp"),
    ],
)
async def test_terms_no_group_may_have_are_refused_with_their_field(
    mesh: Mesh, changes: dict[str, str], kind: Kind, field: str
) -> None:
    """Nothing is founded."""
    alpha = await mesh.office("alpha")
    with pytest.raises(Problem) as caught:
        await alpha.service.create_circle(LOCAL, CircleNew(**({"name": "c", "tier": "network"} | changes)))  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.field) == (kind, field)
    assert (await alpha.service.circles(LOCAL)).circles == []


async def forged_invitation(by: Office, to: Office, circle_id: bytes) -> None:
    """A peer asks into a circle it has no say in, showing a statement of its own making, far ahead of the real one."""
    statement = Statement(
        circle=circle_id,
        number=10_000,
        parent=bytes(16),
        issuer=by.id,
        issued_min=by.mesh.now // 60_000,
        name="c-andes",
        tier=Tier.NETWORK,
        max_tlp=3,
        retention_days=90,
        members=((by.id, Role.STEWARD),),
        key_commit=bytes(32),
        carry_commit=bytes(32),
    )
    direct = by.node.circles.direct_with(to.id)
    assert direct is not None
    async with by.node.circles.change() as tx:
        body = Invite(statement=statement, role=Role.MEMBER).encode()
        await by.node.groups._post(tx, direct, ObjectType.INVITE, body, by.node.circles.sendable(direct))


@pytest.mark.parametrize("state", ["active", "accepted", "left", "removed"])
async def test_a_peer_cannot_put_its_own_branch_over_a_circle_we_know(mesh: Mesh, state: str) -> None:
    """Whatever our standing there: the forged statement is not trusted, and the real circle goes on."""
    alpha, beta, mallory = [await mesh.office(name) for name in ("alpha", "beta", "mallory")]
    await mesh.pair(alpha, beta)
    await mesh.pair(mallory, beta)
    circle = await found(alpha)
    if state == "accepted":
        await invite(alpha, circle, beta)
        await mesh.flow()
        await accept(beta, circle)
    else:
        await join(mesh, alpha, circle, beta)
    if state == "left":
        await beta.service.leave_circle(LOCAL, circle)
    if state == "removed":
        await alpha.service.remove_from_circle(LOCAL, circle, beta.text)
        await mesh.flow()
    before = mesh.knowledge(beta)
    await forged_invitation(mallory, beta, beta.circle(circle).id)
    await mesh.push(mallory, beta)
    assert mesh.knowledge(beta) == before
    assert ("quarantine", "mallory") in {(p.code, p.name) for p in (await beta.service.status(LOCAL)).problems}
    await mesh.flow()
    assert await beta.state(circle) == ("active" if state == "accepted" else state)


async def test_a_direct_circle_is_not_replaced_by_an_invitation(mesh: Mesh) -> None:
    """Though both its members are stewards."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    direct = await alpha.direct(beta)
    await forged_invitation(alpha, beta, alpha.circle(direct).id)
    before = mesh.knowledge(beta)
    await mesh.flow()
    assert mesh.knowledge(beta) == before


async def test_a_forged_invitation_that_comes_first_does_not_keep_the_real_one_out(mesh: Mesh) -> None:
    """As long as nobody has answered, the next one takes its place whole."""
    alpha, beta, mallory = [await mesh.office(name) for name in ("alpha", "beta", "mallory")]
    await mesh.pair(alpha, beta)
    await mesh.pair(mallory, beta)
    circle = await found(alpha)
    await forged_invitation(mallory, beta, alpha.circle(circle).id)
    await mesh.flow()
    assert await beta.state(circle) == "invited"
    await join(mesh, alpha, circle, beta)
    assert beta.circle(circle).current.id == alpha.circle(circle).current.id
    await beta.restart()
    assert beta.circle(circle).current.id == alpha.circle(circle).current.id
