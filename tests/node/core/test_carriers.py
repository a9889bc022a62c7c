"""Whom we ask to carry, and what we give them: keys of now and of weeks ahead, new ones when somebody goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.carry import MAX_CARRIED, CarriedScope, weeks_of_carrying
from almenara.protocol.scope import scope_key, tag, week_of
from tests.support.circles import found, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def asked(mesh: Mesh) -> tuple[Office, Office, Office, str]:
    """Alpha asks delta to carry for the circle of alpha, beta and gamma."""
    alpha, _, gamma, circle = await trio(mesh)
    delta = await mesh.office("delta")
    await mesh.pair(alpha, delta)
    await alpha.service.add_carrier(LOCAL, circle, delta.text)
    return alpha, gamma, delta, circle


def hour(mesh: Mesh) -> int:
    return mesh.now // 3_600_000


def week(mesh: Mesh) -> int:
    return week_of(hour(mesh))


def derivable(office: Office, mesh: Mesh) -> set[CarriedScope]:
    """Every scope key that somebody can make from the secrets it was ever given."""
    secrets = set(office.node.keyring._carry.values())
    return {CarriedScope(scope_key(secret, w), w) for secret in secrets for w in weeks_of_carrying(hour(mesh))}


async def test_a_carrier_is_given_eleven_weeks_of_one_circle_and_of_no_other(mesh: Mesh) -> None:
    alpha, _, delta, circle = await asked(mesh)
    await found(alpha, "c-other")
    wanted = alpha.node.carriers.wanted(delta.id)
    assert {scope.week for scope in wanted} == set(weeks_of_carrying(hour(mesh)))
    assert {tag(scope.key) for scope in wanted} & set(alpha.node.keyring.scopes(hour(mesh)))
    current = alpha.circle(circle).current.id
    secret = alpha.node.keyring.carry_secret(current)
    assert secret
    ahead = {scope for scope in wanted if scope.week > week(mesh)}
    assert ahead == {CarriedScope(scope_key(secret, week(mesh) + n), week(mesh) + n) for n in range(1, 6)}


async def test_after_a_removal_the_carrier_gets_keys_that_the_removed_cannot_make(mesh: Mesh) -> None:
    alpha, gamma, delta, circle = await asked(mesh)
    before = alpha.node.carriers.wanted(delta.id)
    assert {scope for scope in before if scope.week > week(mesh)} <= derivable(gamma, mesh)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    after = alpha.node.carriers.wanted(delta.id)
    fresh = after - before
    assert {scope.week for scope in fresh} == set(weeks_of_carrying(hour(mesh)))
    assert not fresh & derivable(gamma, mesh)
    assert not {scope for scope in after if scope.week > week(mesh)} & derivable(gamma, mesh)


async def test_a_week_later_the_next_one_is_told(mesh: Mesh) -> None:
    alpha, _, delta, _ = await asked(mesh)
    before = {scope.week for scope in alpha.node.carriers.wanted(delta.id)}
    mesh.advance(days=7)
    later = {scope.week for scope in alpha.node.carriers.wanted(delta.id)}
    assert (later - before, before - later) == ({week(mesh) + 5}, {week(mesh) - 6})


async def test_what_was_asked_outlives_a_restart_and_ends_when_it_is_taken_back(mesh: Mesh) -> None:
    alpha, _, delta, circle = await asked(mesh)
    wanted = alpha.node.carriers.wanted(delta.id)
    request = alpha.node.carriers.request(delta.id, wanted)
    await alpha.restart()
    assert alpha.node.carriers.wanted(delta.id) == wanted
    assert alpha.node.carriers.request(delta.id, wanted) == request, "the same decoys"
    await alpha.service.remove_carrier(LOCAL, circle, delta.text)
    assert alpha.node.carriers.wanted(delta.id) == frozenset()
    assert alpha.node.carriers.request(delta.id, frozenset()) == ()


async def test_a_circle_that_we_left_and_a_peer_that_is_removed_are_asked_nothing(mesh: Mesh) -> None:
    _, gamma, _, circle = await asked(mesh)
    other = await mesh.office("epsilon")
    await mesh.pair(gamma, other)
    await gamma.service.add_carrier(LOCAL, circle, other.text)
    assert gamma.node.carriers.wanted(other.id)
    await gamma.service.leave_circle(LOCAL, circle)
    assert gamma.node.carriers.wanted(other.id) == frozenset()
    alpha = mesh.offices["alpha"]
    delta = mesh.offices["delta"]
    await alpha.service.remove_peer(LOCAL, delta.text)
    assert alpha.node.carriers.wanted(delta.id) == frozenset()
    assert (await alpha.service.carriers(LOCAL, circle)).carriers == []


async def test_whom_one_may_ask(mesh: Mesh) -> None:
    alpha, gamma, delta, circle = await asked(mesh)
    for node, kind in ((gamma, Kind.NOT_ALLOWED), (mesh.offices["beta"], Kind.NOT_ALLOWED)):
        with pytest.raises(Problem) as caught:
            await alpha.service.add_carrier(LOCAL, circle, node.text)
        assert caught.value.kind is kind
    with pytest.raises(Problem) as caught:
        await gamma.service.add_carrier(LOCAL, circle, delta.text)
    assert caught.value.kind is Kind.PEER_NOT_VERIFIED
    await alpha.service.add_carrier(LOCAL, circle, delta.text)
    assert len((await alpha.service.carriers(LOCAL, circle)).carriers) == 1, "asked twice is asked once"


async def test_one_peer_is_asked_for_so_many_circles_and_no_more(mesh: Mesh) -> None:
    alpha, _, delta, _ = await asked(mesh)
    for number in range(31):
        await alpha.service.add_carrier(LOCAL, await found(alpha, f"c-{number}"), delta.text)
    last = await found(alpha, "c-last")
    with pytest.raises(Problem) as caught:
        await alpha.service.add_carrier(LOCAL, last, delta.text)
    assert caught.value.kind is Kind.NOT_ALLOWED
    request = alpha.node.carriers.request(delta.id, alpha.node.carriers.wanted(delta.id))
    assert len(request) <= MAX_CARRIED
