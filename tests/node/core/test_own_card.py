"""What a node says of itself: renewed when it must, told to everybody once, followed by peers, believed with care."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.authoring import Draft
from almenara.node.problem import Kind, Problem
from almenara.node.service import LOCAL
from almenara.protocol.card import Card, Status, sign_card, sign_profile
from almenara.protocol.object import ObjectType
from tests.support.circles import trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


def move(office: Office, address: str) -> None:
    """Another address in the configuration, as after an edit and a restart."""
    text = office.home.config_path.read_text().replace("[peer]", "")
    office.home.config_path.write_text(f'{text}\n[peer]\nadvertise = ["{address}"]\n')


def another_card(office: Office, *, counter: int, status: Status = Status.ACTIVE, minutes: int = 0) -> Card:
    """A card its root signed, other than the one in use."""
    card = office.node.cards.newest(office.id)
    assert card is not None
    return sign_card(
        root=office.identity.root,
        counter=counter,
        op_sign=card.op_sign,
        tls_cert=card.tls_cert,
        endpoints=("elsewhere.example:7790",),
        issued=card.issued + minutes,
        expires=card.expires + 1,
        status=status,
    )


async def tell(office: Office, other: Office, card: Card) -> None:
    """Post a card in the direct circle of two."""
    async with office.node.circles.change() as tx:
        direct = office.node.circles.direct_with(other.id)
        assert direct is not None
        await office.node.author.post(
            tx,
            Draft(
                circle_id=direct.id,
                statement_id=direct.current.id,
                type=ObjectType.CARD,
                body=card.blob,
                tlp=4,
                expires_min=0,
            ),
        )


async def test_a_moved_address_is_told_in_every_circle_and_followed(mesh: Mesh) -> None:
    """Peers dial the new address; members who are not paired learn the card too; nothing is said twice."""
    alpha, beta, gamma, circle = await trio(mesh)
    for office in (alpha, beta, gamma):
        await office.maintain()
    await mesh.flow()
    move(beta, "new.example:7790")
    await beta.restart()
    await beta.maintain()
    await mesh.flow()
    await alpha.maintain()
    assert alpha.kept[beta.id.raw] == ("new.example:7790",)
    async with alpha.store.read() as tx:
        row = await tx.peers.get(beta.id.raw)
    assert row is not None
    assert row.endpoints == ("new.example:7790",)
    for office in (alpha, gamma):
        card = office.node.cards.newest(beta.id)
        assert card is not None
        assert (card.counter, card.endpoints) == (2, ("new.example:7790",))
    async with beta.store.read() as tx:
        before = await tx.log._last("log")
    await beta.maintain()
    async with beta.store.read() as tx:
        assert await tx.log._last("log") == before
    sent = await beta.send(circle)
    await mesh.flow()
    assert await gamma.received() == [sent]


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.REVOKED])
async def test_a_card_that_came_just_before_a_crash_is_followed_after_it(mesh: Mesh, status: Status) -> None:
    """It was committed, and the power failed before anybody was told: a stolen key must not stay trusted for that."""
    alpha, beta = [await mesh.office(name) for name in ("alpha", "beta")]
    await mesh.pair(alpha, beta)
    alpha.node.circles.on_cards = lambda: None
    await tell(beta, alpha, another_card(beta, counter=2, status=status))
    await mesh.flow()
    await alpha.restart()
    await alpha.maintain()
    peer = await alpha.service.peer(LOCAL, beta.text)
    if status is Status.REVOKED:
        assert peer.state == "blocked"
        assert beta.id.raw not in alpha.kept
    else:
        assert alpha.kept[beta.id.raw] == ("elsewhere.example:7790",)


async def test_a_circle_that_could_not_be_told_is_told_later(mesh: Mesh) -> None:
    """While a departed member could read, even a card waits; it is not forgotten."""
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    for office in (alpha, beta, gamma):
        await office.maintain()
    await mesh.flow()
    alpha.online = False
    await gamma.service.leave_circle(LOCAL, circle)
    await mesh.flow()
    move(beta, "new.example:7790")
    await beta.restart()
    await beta.maintain()
    held = beta.circle(circle).id
    async with beta.store.read() as tx:
        told = await tx.meta.get(f"told:{held.hex()}")
    alpha.online = True
    await mesh.flow()
    await beta.maintain()
    async with beta.store.read() as tx:
        assert await tx.meta.get(f"told:{held.hex()}") != told


async def test_a_card_is_renewed_before_it_expires(mesh: Mesh) -> None:
    """Expiry only warns; it should not come to that."""
    alpha = await mesh.office("alpha")
    first = alpha.node.cards.newest(alpha.id)
    assert first is not None
    mesh.advance(days=2 * 365 - 91)
    await alpha.maintain()
    assert alpha.node.cards.newest(alpha.id) == first
    mesh.advance(days=2)
    await alpha.maintain()
    second = alpha.node.cards.newest(alpha.id)
    assert second is not None
    assert second.counter == 2
    assert second.expires > first.expires


async def test_two_cards_of_one_counter_block_the_peer_with_reason(mesh: Mesh) -> None:
    """Nothing is sent any more, and the panel says why and what to do; a new comparison ends it."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    direct = await alpha.direct(beta)
    await tell(beta, alpha, another_card(beta, counter=1))
    await mesh.flow()
    await alpha.maintain()
    peer = await alpha.service.peer(LOCAL, beta.text)
    assert (peer.state, bool(peer.reason), bool(peer.next)) == ("blocked", True, True)
    assert "peer-blocked" in {p.code for p in (await alpha.service.status(LOCAL)).problems}
    assert alpha.dropped == [beta.id.raw]
    record = await alpha.service.save_case(LOCAL, mesh.case())
    with pytest.raises(Problem) as caught:
        await alpha.service.preview(LOCAL, record.case_id, direct)
    assert caught.value.kind is Kind.PEER_NOT_VERIFIED
    await alpha.restart()
    assert (await alpha.service.peer(LOCAL, beta.text)).state == "blocked"
    await beta.service.remove_peer(LOCAL, alpha.text)
    await mesh.pair(alpha, beta, code="9999 8888 7777")
    await alpha.maintain()
    assert (await alpha.service.peer(LOCAL, beta.text)).state == "verified"
    await alpha.send(await alpha.direct(beta))
    await mesh.flow()
    assert len(await beta.received()) == 1


@pytest.mark.parametrize("counter", [1, 5])
async def test_a_revocation_is_final_whatever_its_counter(mesh: Mesh, counter: int) -> None:
    """Blocked as a peer, out of every circle by a fresh key, also after a restart, and no later card undoes it."""
    alpha, beta, gamma, circle = await trio(mesh)
    await tell(beta, alpha, another_card(beta, counter=counter, status=Status.REVOKED))
    await mesh.flow()
    await alpha.maintain()
    assert (await alpha.service.peer(LOCAL, beta.text)).state == "blocked"
    for office in (alpha, gamma):
        await mesh.flow()
        assert beta.id not in office.circle(circle).current.roles
        assert (await office.members(circle))["beta"] == "removed"
    await alpha.restart()
    assert beta.id in alpha.circle(circle).history.out
    async with alpha.node.circles.change() as tx:
        await alpha.node.circles.take_card(tx, another_card(beta, counter=9).blob)
    assert alpha.node.cards.is_revoked(beta.id)


async def test_a_card_of_a_later_counter_never_gives_way_to_an_earlier_one(mesh: Mesh) -> None:
    """Lower counters are ignored."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    await tell(beta, alpha, another_card(beta, counter=7))
    await mesh.flow()
    await tell(beta, alpha, another_card(beta, counter=3, minutes=1))
    await mesh.flow()
    card = alpha.node.cards.newest(beta.id)
    assert card is not None
    assert card.counter == 7
    await alpha.maintain()
    assert (await alpha.service.peer(LOCAL, beta.text)).state == "verified"


async def test_an_expired_card_only_warns(mesh: Mesh) -> None:
    """Sending goes on, and the status says whose card it is."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    mesh.advance(days=2 * 365 + 1)
    problems = {p.code: p for p in (await alpha.service.status(LOCAL)).problems}
    assert problems["card-expired"].name == "beta"
    assert (await alpha.service.peer(LOCAL, beta.text)).state == "verified"


async def test_a_name_never_changes_silently(mesh: Mesh) -> None:
    """A peer that calls itself like another keeps, here, the name it was verified under; its row says so."""
    alpha, beta, gamma, circle = await trio(mesh)
    profile = sign_profile(
        node_id=gamma.id,
        issued=mesh.now // 60_000 + 1,
        name="beta",
        kind="organisation",
        country="",
        key=gamma.identity.operational,
    )
    for office in (alpha, beta):
        async with office.node.circles.change() as tx:
            await office.node.cards.take_profile(tx, profile.blob, gamma.id)
    assert sorted(await alpha.members(circle)) == ["alpha", "beta", "gamma"]
    peer = await alpha.service.peer(LOCAL, gamma.text)
    assert (peer.name, bool(peer.reason), bool(peer.next)) == ("gamma", True, True)
    await alpha.restart()
    assert alpha.node.cards.name(gamma.id) == "gamma"
    assert beta.node.cards.name(gamma.id) == "beta"  # vouched for only: known by what it says
