"""Carriers, askers, scopes and pools: the same on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.storage.rows import AskerRow, CarriedRow, CarrierRow, EnvelopeRow, HolderRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store, Transaction

ANA, BEN, CLO = b"a" * 32, b"b" * 32, b"c" * 32
ONE, TWO, THREE = b"1" * 16, b"2" * 16, b"3" * 16


def scope(node: bytes, tag: bytes, week: int = 10, ends_at: int | None = None) -> CarriedRow:
    return CarriedRow(node, tag, tag * 2, week, ends_at)


async def put(tx: Transaction, tag: bytes, lane: int, source: bytes, size: int, state: str = "held") -> bytes:
    made = row(EnvelopeRow, tag=tag, lane=lane, source=source, data=bytes(size), state=state)
    await tx.log.append([made])
    return made.envelope_id


async def test_carriers_come_back_in_the_order_of_asking_with_what_they_said(store: Store) -> None:
    async with store.write() as tx:
        await tx.carrying.put_carrier(CarrierRow(ONE, BEN, 2, None, None))
        await tx.carrying.put_carrier(CarrierRow(TWO, ANA, 1, None, None))
        await tx.carrying.put_carrier(CarrierRow(ONE, BEN, 9, 5, 5))
        await tx.carrying.set_told(BEN, 4_000_000_000, 7)
        assert await tx.carrying.carriers() == [
            CarrierRow(TWO, ANA, 1, None, None),
            CarrierRow(ONE, BEN, 2, 4_000_000_000, 7),
        ]
        await tx.carrying.delete_carrier(TWO, BEN)
        await tx.carrying.delete_carriers(BEN)
        assert [one.node_id for one in await tx.carrying.carriers()] == [ANA]


async def test_a_scope_is_paid_by_who_asked_first_and_still_asks(store: Store) -> None:
    async with store.write() as tx:
        for asker in (AskerRow(BEN, None, 0, 5), AskerRow(ANA, 900, 0, 7), AskerRow(CLO, None, 0, None)):
            await tx.carrying.put_asker(asker)
        await tx.carrying.add_carried([scope(ANA, ONE), scope(BEN, ONE, 11), scope(CLO, TWO), scope(ANA, THREE)])
        assert await tx.carrying.payer(ONE) == (AskerRow(BEN, None, 0, 5), 11)
        assert await tx.carrying.payer(TWO) is None
        await tx.carrying.end_carried(BEN, [ONE], 50)
        await tx.carrying.end_carried(BEN, [ONE], 90)
        assert await tx.carrying.payer(ONE) == (AskerRow(ANA, 900, 0, 7), 10)
        await tx.carrying.charge(ANA, 30)
        await tx.carrying.charge(ANA, -10)
        assert await tx.carrying.asker(ANA) == AskerRow(ANA, 900, 20, 7)
        assert await tx.carrying.drop_due(50, 0) == {ONE}
        assert await tx.carrying.drop_due(0, 11) == {ONE, TWO, THREE}
        assert await tx.carrying.carried() == []


async def test_the_oldest_of_the_heaviest_is_found_in_its_lane(store: Store) -> None:
    async with store.write() as tx:
        light = [await put(tx, ONE, 1, ANA, 10)]
        heavy = [await put(tx, ONE, 1, BEN, 8), await put(tx, TWO, 1, BEN, 9)]
        await put(tx, ONE, 0, ANA, 500)
        await put(tx, THREE, 1, ANA, 500)
        await put(tx, ONE, 1, ANA, 500, state="opened")
        found = await tx.carrying.oldest_of_heaviest([ONE, TWO], 1, 9)
        assert found == [(heavy[0], 8), (heavy[1], 9)]
        assert await tx.carrying.used([ONE, TWO]) == 527
        assert await tx.carrying.used([ONE, TWO], 1) == 27
        await tx.carrying.evict(heavy)
        assert await tx.carrying.oldest_of_heaviest([ONE, TWO], 1, 9) == [(light[0], 10)]
        assert (await tx.log.known(heavy))[heavy[0]][1] == "refused"
        assert await tx.carrying.count([ONE, TWO]) == 2
        assert await tx.carrying.tags_in_use([ONE, TWO, THREE]) == {ONE, THREE}
        assert await tx.carrying.erase([ONE]) == 2
        assert await tx.carrying.oldest_of_heaviest([ONE, TWO], 1, 9) == []


async def test_holders_are_kept_in_order_and_forgotten_in_time(store: Store) -> None:
    async with store.write() as tx:
        for holder in (HolderRow(ONE, BEN, 2), HolderRow(ONE, ANA, 1), HolderRow(ONE, BEN, 9), HolderRow(TWO, ANA, 5)):
            await tx.carrying.put_holder(holder)
        assert [one.node_id for one in await tx.carrying.holders([ONE])] == [ANA, BEN]
        await tx.carrying.prune_holders(3)
        assert await tx.carrying.holders([ONE, TWO]) == [HolderRow(TWO, ANA, 5)]
