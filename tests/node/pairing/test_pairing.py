"""Two organisations pair over real sockets: the way it should go, and the ways lines and processes break."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from almenara.node.pairing import NotPending, PairingEnd, PairingFailed, PairingFault
from almenara.node.transport.errors import Unreachable
from almenara.node.transport.listener import ListenerLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .conftest import Organisation

    Two = tuple[Organisation, Organisation]


async def compare(alpha: Organisation, beta: Organisation) -> str:
    """Up to the code on both sides."""
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    code = await beta.pairing.join(invitation.link)
    return code.code


async def both_paired(alpha: Organisation, beta: Organisation) -> None:
    await alpha.until(lambda: bool(alpha.paired))
    await beta.until(lambda: bool(beta.paired))


async def test_both_sides_show_the_same_code_and_each_others_introduction(two: Two) -> None:
    alpha, beta = two
    code = await compare(alpha, beta)
    assert len(code) == len("1234 5678 9012")
    ((at_alpha, of_beta, code_at_alpha),) = alpha.codes
    ((at_beta, of_alpha, code_at_beta),) = beta.codes
    assert code == code_at_alpha == code_at_beta
    assert (at_alpha, at_beta) == (beta.id, alpha.id)
    assert (of_beta.profile.name, of_alpha.profile.name) == ("beta", "alpha")
    assert (alpha.paired, beta.paired) == ([], [])


async def test_nothing_but_pairing_flows_before_both_have_confirmed(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await alpha.pairing.confirm(beta.id)
    for one, other in ((alpha, beta), (beta, alpha)):
        one.door.pin(other.id, other.certificate)  # what an impatient implementation would do
        with pytest.raises(Unreachable):
            await one.dialer.dial(other.id, other.endpoint)
        one.door.unpin(other.id)


@pytest.mark.parametrize("inviter_first", [True, False])
async def test_after_both_confirm_in_either_order_both_are_paired_and_links_come_up(
    two: Two, inviter_first: bool
) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    first, second = (alpha, beta) if inviter_first else (beta, alpha)
    other = {alpha.id: beta, beta.id: alpha}
    assert not await first.pairing.confirm(other[first.id].id)
    await second.pairing.confirm(other[second.id].id)
    await both_paired(alpha, beta)
    assert [(node, initiator) for node, _, initiator in alpha.paired] == [(beta.id, True)]
    assert [(node, initiator) for node, _, initiator in beta.paired] == [(alpha.id, False)]
    await (await beta.dialer.dial(alpha.id, alpha.endpoint)).close()
    await (await alpha.dialer.dial(beta.id, beta.endpoint)).close()
    assert (alpha.links, beta.links) == ([beta.id], [alpha.id])


async def test_when_it_is_done_nothing_is_left_and_the_door_is_closed(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    assert alpha.door.strangers_allowed
    assert not beta.door.strangers_allowed
    await beta.pairing.confirm(alpha.id)
    await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)
    await alpha.until(lambda: not alpha.store.rows)
    await beta.until(lambda: not beta.store.rows)
    assert not alpha.door.strangers_allowed


async def test_a_confirmation_reaches_the_other_side_while_it_waits_and_is_told_at_once(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await beta.pairing.confirm(alpha.id)
    pending = alpha.pairing._book.with_node(beta.id)
    await alpha.until(lambda: pending.channel is not None)
    assert pending.machine.peer_confirmed
    assert await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)


async def test_a_joiner_that_has_confirmed_may_wait_longer_than_a_stranger(two: Two) -> None:
    alpha, beta = two
    alpha.limits = ListenerLimits(pairing_seconds=1.5)
    await alpha.restart()
    await compare(alpha, beta)
    await beta.pairing.confirm(alpha.id)
    pending = alpha.pairing._book.with_node(beta.id)
    await alpha.until(lambda: pending.channel is not None)
    waiting = pending.channel
    await asyncio.sleep(1.6)
    assert pending.channel is waiting
    assert not waiting.closed
    assert await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)


@pytest.mark.parametrize("who", ["alpha", "beta", "both"])
async def test_a_restart_between_code_and_confirmations_loses_nothing(two: Two, who: str) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    for organisation in two:
        if who in {organisation.name, "both"}:
            await organisation.restart()
    await beta.pairing.confirm(alpha.id)
    await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)


@pytest.mark.parametrize("who", ["alpha", "beta"])
@pytest.mark.parametrize("confirmed", ["alpha", "beta"])
async def test_a_restart_between_the_confirmations_loses_nothing(two: Two, who: str, confirmed: str) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    named = {"alpha": alpha, "beta": beta}
    first, second = (alpha, beta) if confirmed == "alpha" else (beta, alpha)
    await first.pairing.confirm(second.id)
    await named[who].restart()
    await second.pairing.confirm(first.id)
    await both_paired(alpha, beta)


async def test_a_joiner_that_missed_the_last_confirmation_fetches_it_later(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await beta.pairing.confirm(alpha.id)
    pending = alpha.pairing._book.with_node(beta.id)
    await alpha.until(lambda: pending.machine.peer_confirmed)
    await beta.stop()
    assert await alpha.pairing.confirm(beta.id)
    await alpha.restart()
    assert [node for node, _, _ in alpha.paired] == [beta.id, beta.id]  # once more after the restart, as documented
    assert alpha.door.strangers_allowed
    await beta.start()
    await both_paired(alpha, beta)
    await alpha.until(lambda: not alpha.store.rows)


async def test_a_session_shows_that_the_joiner_has_our_confirmation(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await beta.pairing.confirm(alpha.id)
    pending = alpha.pairing._book.with_node(beta.id)
    await alpha.pairing.settled(beta.id)
    assert alpha.store.rows, "nothing is settled before both have confirmed"
    await alpha.until(lambda: pending.machine.peer_confirmed)
    await beta.stop()
    await alpha.pairing.confirm(beta.id)
    await alpha.pairing.settled(beta.id)
    assert not alpha.store.rows
    assert not alpha.door.strangers_allowed
    await beta.start()


async def test_asking_again_with_the_same_invitation_shows_the_same_code(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    first = await beta.pairing.join(invitation.link)
    assert await beta.pairing.join(invitation.link) == first
    assert len(alpha.codes) == len(beta.codes) == 1


async def test_two_people_using_the_same_invitation_at_once_get_one_code(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    first, second = await asyncio.gather(*(beta.pairing.join(invitation.link) for _ in range(2)))
    assert first == second
    assert len(alpha.codes) == len(beta.codes) == 1


async def test_a_new_pairing_with_the_same_node_takes_the_place_of_the_old_one(two: Two) -> None:
    alpha, beta = two
    old = await compare(alpha, beta)
    new = await compare(alpha, beta)
    assert old != new
    assert len(alpha.store.rows) == len(beta.store.rows) == 1
    await beta.pairing.confirm(alpha.id)
    await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)


async def test_one_invitation_open_beside_another_serves_its_own_joiner(
    two: Two, build: Callable[..., Awaitable[Organisation]]
) -> None:
    alpha, beta = two
    gamma = await build("gamma")
    invitations = [await alpha.pairing.open_invitation(alpha.endpoint) for _ in range(2)]
    await beta.pairing.join(invitations[1].link)
    await gamma.pairing.join(invitations[0].link)
    assert [node for node, _, _ in alpha.codes] == [beta.id, gamma.id]
    assert len({code for _, _, code in alpha.codes}) == 2


@pytest.mark.parametrize("days_off", [-4000, 4000])
async def test_a_joiner_whose_clock_is_years_off_pairs_all_the_same(two: Two, days_off: int) -> None:
    alpha, beta = two
    beta.now_ms += days_off * 86_400_000
    await compare(alpha, beta)
    await beta.pairing.expire()
    await beta.pairing.confirm(alpha.id)
    await alpha.pairing.confirm(beta.id)
    await both_paired(alpha, beta)


async def test_an_unconfirmed_pairing_is_dropped_after_a_day_and_says_so(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    for organisation in two:
        organisation.now_ms += 1440 * 60_000
        await organisation.pairing.expire()
    assert alpha.ended == [(beta.id, PairingEnd.EXPIRED)]
    assert beta.ended == [(alpha.id, PairingEnd.EXPIRED)]
    assert not alpha.store.rows
    assert not beta.store.rows
    assert not alpha.door.strangers_allowed
    with pytest.raises(NotPending):
        await alpha.pairing.confirm(beta.id)


async def test_whoever_has_confirmed_gives_the_other_side_another_day(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await alpha.pairing.confirm(beta.id)
    alpha.now_ms += 1440 * 60_000
    await alpha.pairing.expire()
    assert alpha.ended == []
    await beta.pairing.confirm(alpha.id)
    await both_paired(alpha, beta)


async def test_discarding_a_pairing_ends_it_on_this_side(two: Two) -> None:
    alpha, beta = two
    await compare(alpha, beta)
    await alpha.pairing.discard(beta.id)
    assert not alpha.store.rows
    assert not alpha.door.strangers_allowed
    await beta.pairing.confirm(alpha.id)
    assert not alpha.paired
    assert not beta.paired


async def test_an_unused_invitation_survives_a_restart(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await alpha.restart()
    await beta.pairing.join(invitation.link)
    assert len(alpha.codes) == 1


async def test_an_invitation_nobody_answers_is_unreachable_and_may_be_tried_again(two: Two) -> None:
    alpha, beta = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    await alpha.stop()
    with pytest.raises(Unreachable):
        await beta.pairing.join(invitation.link)
    assert not beta.store.rows
    await alpha.start()
    await beta.pairing.join(invitation.link)


@pytest.mark.parametrize("text", ["", "almenara:", "almenara:!!", "https://example.org/", "almenara:aaaa"])
async def test_a_malformed_invitation_is_told_so(two: Two, text: str) -> None:
    with pytest.raises(PairingFailed) as caught:
        await two[1].pairing.join(text)
    assert caught.value.fault is PairingFault.MALFORMED


async def test_our_own_invitation_is_told_so(two: Two) -> None:
    alpha, _ = two
    invitation = await alpha.pairing.open_invitation(alpha.endpoint)
    with pytest.raises(PairingFailed) as caught:
        await alpha.pairing.join(invitation.link)
    assert caught.value.fault is PairingFault.OUR_OWN
