"""Keys over time: who still gets them, when they are destroyed, and that nothing destroyed comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.crypto.random import random_bytes
from almenara.node.early import PACKETS_PER_PEER
from almenara.node.service import LOCAL
from almenara.node.storage.errors import EraseBlocked
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.keys import KeyPacket, give_key
from tests.support.circles import found, join, trio

if TYPE_CHECKING:
    from tests.support.mesh import Mesh, Office

pytestmark = pytest.mark.usefixtures("no_waiting")


async def rotate(mesh: Mesh, steward: Office, *, days: float = 7) -> None:
    """A week later, a fresh key for everybody."""
    mesh.advance(days=days)
    await steward.maintain()
    await mesh.flow()


async def held(office: Office, statement: bytes) -> set[int]:
    """Classes of the keys that are in the database for a statement."""
    async with office.store.read() as tx:
        return {row.cls for row in await tx.keys.all() if row.statement_id == statement}


async def epoch_key(office: Office, statement: bytes) -> bytes | None:
    """The epoch key in the database."""
    async with office.store.read() as tx:
        row = await tx.statements.get(statement)
    assert row is not None
    return row.epoch_key


async def test_the_epoch_key_goes_at_once_and_class_keys_after_nine_and_37_days(mesh: Mesh) -> None:
    """PROTOCOL §5.7, at steward and member, counted from the day the successor was known."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    circle = await found(alpha)
    await join(mesh, alpha, circle, beta)
    old = alpha.circle(circle).current.id
    assert await epoch_key(alpha, old)
    await rotate(mesh, alpha)
    for office in (alpha, beta):
        assert await epoch_key(office, old) is None
        assert await held(office, old) == {0, 1}
    for days, expected in ((8.9, {0, 1}), (0.2, {1}), (27.8, {1}), (0.2, set[int]())):
        mesh.advance(days=days)
        for office in (alpha, beta):
            await office.maintain()
            assert await held(office, old) == expected
            assert office.node.keyring.holds(old) is bool(expected)


async def test_a_node_that_was_off_destroys_what_is_due_when_it_starts(mesh: Mesh) -> None:
    """The first round comes with the start, not ten minutes later."""
    alpha, _, gamma, circle = await trio(mesh)
    old = gamma.circle(circle).current.id
    await rotate(mesh, alpha)
    mesh.advance(days=40)
    await gamma.restart()
    await gamma.maintain()
    assert await held(gamma, old) == set()


async def test_a_key_packet_does_not_bring_back_what_was_destroyed(mesh: Mesh) -> None:
    """Nor does one for a key that still lives put off its day."""
    alpha, beta, gamma, circle = await trio(mesh)
    old = alpha.circle(circle).current
    async with alpha.store.read() as tx:
        secrets = await tx.statements.secrets(old.id)
    assert secrets is not None
    packet = give_key(old, epoch_key=secrets[0], carry_secret=secrets[1], recipient=gamma.id, giver=beta.id)
    content = packet.sign(beta.identity.operational)
    await rotate(mesh, alpha)
    async with gamma.store.read() as tx:
        before = [row for row in await tx.keys.all() if row.statement_id == old.id]
    async with gamma.node.circles.change() as tx:
        await gamma.node.circles.take_packet(tx, content, beta.id)
    async with gamma.store.read() as tx:
        assert [row for row in await tx.keys.all() if row.statement_id == old.id] == before
    mesh.advance(days=38)
    await gamma.maintain()
    with pytest.raises(RemoteError) as caught:
        async with gamma.node.circles.change() as tx:
            await gamma.node.circles.take_packet(tx, content, beta.id)
    assert caught.value.kind is Defect.AFTER_SUCCESSOR
    assert await held(gamma, old.id) == set()


async def test_any_member_hands_on_the_key_so_that_no_steward_need_be_online(mesh: Mesh) -> None:
    """Gamma was away when the key changed, and meets beta, a mere member, before the steward."""
    alpha, beta, gamma, circle = await trio(mesh)
    await mesh.pair(beta, gamma)
    gamma.online = False
    await rotate(mesh, alpha)
    sent = await alpha.send(circle)
    await mesh.flow()
    alpha.online, gamma.online = False, True
    await mesh.flow()
    assert gamma.node.keyring.holds(beta.circle(circle).current.id)
    assert await gamma.received() == [sent]


async def test_a_steward_who_drew_the_key_hands_it_on_after_a_restart(mesh: Mesh) -> None:
    """Its own secrets lie in the database as those of others do, scopes included."""
    alpha, _, gamma, circle = await trio(mesh)
    gamma.online = False
    mesh.advance(days=40)  # gamma's prekey is past its use, so that no packet was sealed to it
    await alpha.maintain()
    await mesh.flow()
    await alpha.restart()
    gamma.online = True
    await gamma.maintain()
    await mesh.flow()
    assert gamma.node.keyring.holds(alpha.circle(circle).current.id)
    sent = await alpha.send(circle)
    await mesh.flow()
    assert (await gamma.received())[-1:] == [sent]


async def test_prekeys_are_renewed_weekly_and_their_seeds_destroyed_after_72_days(mesh: Mesh) -> None:
    """PROTOCOL §1: new every 7 days, usable 35, the seed kept 37 more. Peers learn the new one by themselves."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    now_min = mesh.now // 60_000
    first = beta.node.cards.prekey(alpha.id, now_min)
    assert first is not None
    await alpha.maintain()
    mesh.advance(days=6.9)
    await alpha.maintain()
    await mesh.flow()
    assert beta.node.cards.prekey(alpha.id, now_min) == first
    mesh.advance(days=0.2)
    await alpha.maintain()
    await mesh.flow()
    second = beta.node.cards.prekey(alpha.id, now_min)
    assert second is not None
    assert second != first
    assert {first[0], second[0]} <= set(alpha.node.keyring.kids())
    mesh.advance(days=64.8)
    await alpha.maintain()
    assert alpha.node.keyring.prekey(first[0]) is not None
    mesh.advance(days=0.2)
    await alpha.maintain()
    assert alpha.node.keyring.prekey(first[0]) is None
    async with alpha.store.read() as tx:
        assert first[0] not in {row.kid for row in await tx.prekeys.own()}


async def test_an_erased_key_is_wiped_from_the_disk_at_once_or_in_the_next_round(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write-ahead log is truncated after every erasure; a reader that blocks it only puts it off."""
    alpha, beta = await mesh.office("alpha"), await mesh.office("beta")
    await mesh.pair(alpha, beta)
    blocked, wiped = [True], list[bool]()
    erase = alpha.store.erase_checkpoint

    async def checkpoint() -> None:
        if blocked[0]:
            raise EraseBlocked
        await erase()
        wiped.append(True)

    monkeypatch.setattr(alpha.store, "erase_checkpoint", checkpoint)
    await rotate(mesh, alpha)
    assert wiped == []
    blocked[0] = False
    await alpha.maintain()
    assert wiped == [True]
    await alpha.maintain()
    assert wiped == [True]


async def test_one_peer_cannot_fill_the_room_for_early_packets(mesh: Mesh) -> None:
    """Packets whose statements never come are bounded for each peer, and foreign circles do not begin by them."""
    alpha, _, gamma, circle = await trio(mesh)
    held_circle = gamma.circle(circle).id

    def packet(circle_id: bytes, number: int) -> bytes:
        return KeyPacket(
            circle=circle_id,
            statement=random_bytes(32),
            number=number,
            key=random_bytes(32),
            carry_secret=random_bytes(32),
            recipient=gamma.id,
            giver=alpha.id,
        ).sign(alpha.identity.operational)

    async def take(content: bytes) -> Defect | None:
        try:
            async with gamma.node.circles.change() as tx:
                await gamma.node.circles.take_packet(tx, content, alpha.id)
        except RemoteError as error:
            return error.kind
        return None

    assert await take(packet(random_bytes(16), 2)) is Defect.WRONG_CIRCLE
    assert [await take(packet(held_circle, 9)) for _ in range(PACKETS_PER_PEER)] == [None] * PACKETS_PER_PEER
    before = mesh.knowledge(gamma)
    assert await take(packet(held_circle, 9)) is Defect.TOO_LARGE
    assert mesh.knowledge(gamma) == before
    await rotate(mesh, alpha)
    assert gamma.node.keyring.holds(alpha.circle(circle).current.id)


async def test_sending_goes_on_with_the_key_that_is_held(mesh: Mesh) -> None:
    """The newest statement is known and its key has not come: nobody is out, so the older key serves."""
    alpha, beta, _, circle = await trio(mesh)
    old = beta.circle(circle).current.id
    mesh.advance(days=7)
    await alpha.maintain()
    told = await alpha.node.keydesk.answer(beta.id, beta.circle(circle).id, old)
    assert told is not None
    async with beta.node.circles.change() as tx:
        for content in told.statements:
            await beta.node.keydesk._take_object(tx, content)
    assert beta.circle(circle).current.id != old
    record = await beta.service.save_case(LOCAL, mesh.case())
    assert (await beta.service.preview(LOCAL, record.case_id, circle)).statement == old.hex()
