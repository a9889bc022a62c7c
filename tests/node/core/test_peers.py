"""Organisations we pair with: from a code to trust, and the ways it ends (SCHEMAS §4, PROTOCOL §3)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.pairing import PairingEnd
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.node.transport.errors import DialFault, Unreachable
from almenara.protocol.card import parse_introduction
from tests.support.circles import found, invite, join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def state(office: Office, other: Office) -> str:
    """Of a peer; "unknown" when there is none."""
    peers = {peer.node_id: peer.state for peer in (await office.service.peers(LOCAL)).peers}
    return peers.get(other.text, "unknown")


async def directs(office: Office) -> list[str]:
    """States of all direct circles, oldest first."""
    return [c.state for c in (await office.service.circles(LOCAL)).circles if c.kind == "direct"]


async def paired_again(office: Office, other: Office, *, initiator: bool) -> None:
    """What pairing says after a crash: the same once more."""
    introduction = other.node.cards.introduction(other.id)
    assert introduction is not None
    await office.node.peers.on_paired(other.id.raw, parse_introduction(introduction), initiator)


async def test_unconfirmed_waiting_verified(mesh: Mesh) -> None:
    """Each state with its next step; who verified and when is kept; nothing but pairing flows before."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.show_codes(alpha, beta)
    peer = await alpha.service.peer(LOCAL, beta.text)
    assert (peer.state, peer.code, peer.verified_at) == ("unconfirmed", "1234 5678 9012", None)
    assert peer.next
    assert not alpha.node.circles.is_verified(beta.id)
    talk: Any = alpha.node.pairing
    talk.codes[beta.id.raw] = _nothing
    assert (await alpha.service.confirm_peer(LOCAL, beta.text)).state == "waiting"
    assert (await alpha.service.peer(LOCAL, beta.text)).next != peer.next
    assert not alpha.node.circles.is_verified(beta.id)
    mesh.advance(minutes=5)
    await paired_again(alpha, beta, initiator=True)
    peer = await alpha.service.peer(LOCAL, beta.text)
    assert (peer.state, peer.verified_by) == ("verified", LOCAL.name)
    assert peer.verified_at == (await alpha.service.peer(LOCAL, beta.text)).verified_at is not None
    assert await directs(alpha) == ["active"]
    await alpha.restart()
    assert alpha.node.circles.is_verified(beta.id)


async def _nothing() -> None:
    """Their person has not confirmed."""


async def test_confirming_again_sends_the_word_again(mesh: Mesh) -> None:
    """A crash between our record and our word would otherwise leave both waiting for ever."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.show_codes(alpha, beta)
    said = []

    async def word() -> None:
        said.append(True)

    talk: Any = alpha.node.pairing
    talk.codes[beta.id.raw] = word
    for _ in range(2):
        assert (await alpha.service.confirm_peer(LOCAL, beta.text)).state == "waiting"
    assert said == [True, True]


async def test_a_code_that_is_gone_cannot_be_confirmed(mesh: Mesh) -> None:
    """Refused with the next step; the peer stays as it was."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.show_codes(alpha, beta)
    with pytest.raises(Problem) as caught:
        await alpha.service.confirm_peer(LOCAL, beta.text)
    assert (caught.value.kind, bool(caught.value.next)) == (Kind.NOT_READY, True)
    assert await state(alpha, beta) == "unconfirmed"
    await alpha.service.remove_peer(LOCAL, beta.text)
    with pytest.raises(Problem) as caught:
        await alpha.service.confirm_peer(LOCAL, beta.text)
    assert caught.value.kind is Kind.NOT_READY
    assert await state(alpha, beta) == "removed"


async def test_paired_twice_after_a_crash_founds_one_direct_circle(mesh: Mesh) -> None:
    """Whether the crash came before or after the restart; and it undoes neither a removal nor a block."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    await paired_again(alpha, beta, initiator=True)
    await alpha.restart()
    await paired_again(alpha, beta, initiator=True)
    assert await directs(alpha) == ["active"]
    alpha.node.cards.conflicts.add(beta.id.raw)
    await alpha.node.peers.follow_cards()
    await paired_again(alpha, beta, initiator=True)
    assert await state(alpha, beta) == "blocked"
    await alpha.service.remove_peer(LOCAL, beta.text)
    await paired_again(alpha, beta, initiator=True)
    assert await state(alpha, beta) == "removed"
    assert await directs(alpha) == ["removed"]


async def test_a_peer_cannot_found_a_second_direct_circle(mesh: Mesh) -> None:
    """Neither the one we invited nor one whose circle is in use."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    for founder, other in ((alpha, beta), (beta, alpha)):
        async with founder.node.circles.change() as tx:
            await founder.node.groups.found_direct(tx, other.id, 90)
        await mesh.flow()
        assert await directs(other) == ["active"] if founder is alpha else True
    assert (await directs(alpha)).count("active") == 2  # its own second attempt, and none of beta's
    assert {p.code for p in (await alpha.service.status(LOCAL)).problems} <= {"quarantine"}


async def test_an_unconfirmed_code_is_dropped_after_a_day(mesh: Mesh) -> None:
    """Not a minute earlier; a waiting one is ended by pairing, with the reason."""
    alpha, beta, gamma = [await mesh.office(name) for name in ("alpha", "beta", "gamma")]
    await mesh.show_codes(alpha, beta)
    mesh.advance(days=1, minutes=-1)
    await alpha.maintain()
    assert await state(alpha, beta) == "unconfirmed"
    mesh.advance(minutes=1)
    await alpha.maintain()
    assert await state(alpha, beta) == "unknown"
    await mesh.show_codes(alpha, gamma)
    talk: Any = alpha.node.pairing
    talk.codes[gamma.id.raw] = _nothing
    await alpha.service.confirm_peer(LOCAL, gamma.text)
    await alpha.node.peers.on_ended(gamma.id.raw, PairingEnd.EXPIRED)
    peer = await alpha.service.peer(LOCAL, gamma.text)
    assert (peer.state, bool(peer.reason)) == ("removed", True)


async def test_codes_that_differ_end_it_with_the_reason(mesh: Mesh) -> None:
    """Somebody may stand in between."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.show_codes(alpha, beta)
    await alpha.node.peers.on_ended(beta.id.raw, PairingEnd.MISMATCH)
    peer = await alpha.service.peer(LOCAL, beta.text)
    assert (peer.state, peer.code, bool(peer.reason)) == ("removed", "", True)


async def test_a_removed_peer_is_cut_and_out_of_every_circle_of_ours(mesh: Mesh) -> None:
    """In one step, also from invitations that are open; where we are no steward it stays, unverified."""
    alpha, beta, gamma, circle = await trio(mesh)
    other = await found(alpha, "c-sierra")
    await invite(alpha, other, gamma)
    await mesh.pair(beta, gamma)
    await alpha.service.remove_peer(LOCAL, gamma.text)
    assert alpha.dropped == [gamma.id.raw]
    assert (await alpha.members(circle))["gamma"] == "removed"
    assert (await alpha.members(other))["gamma"] == "removed"
    await mesh.flow()
    assert (await beta.members(circle))["gamma"] == "removed"
    assert await gamma.state(circle) == "removed"  # beta could tell it
    await beta.service.remove_peer(LOCAL, alpha.text)
    assert (await beta.members(circle))["alpha"] == "active"
    assert not beta.node.circles.is_verified(alpha.id)


async def test_removal_is_all_or_nothing(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while re-keying leaves no peer removed but still in the circle; the link is cut all the same."""
    alpha, _, gamma, circle = await trio(mesh)

    async def fails(*_: object, **__: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(alpha.node.author, "post", fails)
        with pytest.raises(OSError):
            await alpha.service.remove_peer(LOCAL, gamma.text)
    assert await state(alpha, gamma) == "verified"
    assert (await alpha.members(circle))["gamma"] == "active"
    assert gamma.id.raw in alpha.dropped
    await alpha.service.remove_peer(LOCAL, gamma.text)
    assert (await alpha.members(circle))["gamma"] == "removed"


async def test_a_removed_peer_returns_by_a_new_invitation_with_a_fresh_direct_circle(mesh: Mesh) -> None:
    """The old circle stays as history, at both sides, even where the other side had not removed us."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    old = await alpha.send(await alpha.direct(beta))
    await mesh.flow()
    await alpha.service.remove_peer(LOCAL, beta.text)
    assert await state(beta, alpha) == "verified"
    await mesh.pair(alpha, beta, code="5555 6666 7777")
    assert await directs(alpha) == await directs(beta) == ["removed", "active"]
    new = await alpha.send(await alpha.direct(beta), title="Persona Ficticia Dos")
    await mesh.flow()
    assert await beta.received() == [old, new]
    await beta.send(await beta.direct(alpha))
    await mesh.flow()
    assert len(await alpha.received()) == 1


async def test_a_connected_peer_is_not_reset_by_a_new_code(mesh: Mesh) -> None:
    """Only a peer that cannot reach us has a reason to pair again."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    await mesh.show_codes(alpha, beta, "5555 6666 7777")
    peer = await alpha.service.peer(LOCAL, beta.text)
    assert (peer.state, peer.code) == ("verified", "1234 5678 9012")


async def test_a_removed_peer_is_not_let_in_again_by_its_old_yes(mesh: Mesh) -> None:
    """An answer that was under way when we removed it."""
    alpha, _, gamma, circle = await trio(mesh)
    await alpha.service.remove_from_circle(LOCAL, circle, gamma.text)
    await mesh.flow()
    await invite(alpha, circle, gamma)
    await mesh.flow()
    await gamma.service.accept_circle(LOCAL, circle)
    await alpha.service.remove_peer(LOCAL, gamma.text)
    await mesh.push(gamma, alpha)
    assert gamma.id not in alpha.circle(circle).current.roles
    assert (await alpha.members(circle))["gamma"] == "removed"


async def test_without_an_address_nobody_is_invited(mesh: Mesh) -> None:
    """SCHEMAS §6: refused with the setting that is missing."""
    alpha = await mesh.office("alpha")
    with pytest.raises(Problem) as caught:
        await alpha.service.invite(LOCAL)
    assert (caught.value.kind, caught.value.field, bool(caught.value.next)) == (Kind.NOT_READY, "peer.advertise", True)


async def test_an_invitation_whose_maker_cannot_be_reached_has_to_be_used_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept of such a try, so nobody may be told to wait for the next one."""
    alpha = await mesh.office("alpha")

    async def join(_link: str) -> None:
        raise Unreachable(DialFault.NO_ANSWER)

    monkeypatch.setattr(alpha.node.peers, "pairing", SimpleNamespace(join=join))
    with pytest.raises(Problem) as caught:
        await alpha.service.pair(LOCAL, "almenara:x")
    assert caught.value.kind is Kind.UNREACHABLE
    assert caught.value.next == "Check that their node runs and can be reached, then use the invitation again."


async def test_a_typing_error_in_a_node_id_is_told_from_a_stranger(mesh: Mesh) -> None:
    """Check letters find the first; the second is simply not here."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    kinds = []
    for text in (beta.text[:-1] + ("a" if beta.text[-1] != "a" else "b"), beta.text):
        with pytest.raises(Problem) as caught:
            await alpha.service.peer(LOCAL, text)
        kinds.append(caught.value.kind)
    assert kinds == [Kind.MALFORMED, Kind.NOT_FOUND]


async def test_a_member_who_rejoins_after_removal_as_peer(mesh: Mesh) -> None:
    """Paired anew, asked again, in again."""
    alpha, beta, gamma, circle = await trio(mesh)
    await alpha.service.remove_peer(LOCAL, gamma.text)
    await mesh.flow()
    await mesh.pair(gamma, alpha, code="1111 2222 3333")
    await join(mesh, alpha, circle, gamma)
    assert (await beta.members(circle))["gamma"] == "active"
