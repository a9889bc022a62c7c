"""Chains and objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError

from almenara.node.storage.rows import ChainRow, ObjectRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store, Transaction

ANA, BO, CIRCLE, FIRST, SECOND = b"ana" * 8, b"bo" * 8, b"c" * 16, b"1" * 16, b"2" * 16
KEYS = [(ANA, CIRCLE, FIRST), (ANA, CIRCLE, SECOND), (BO, CIRCLE, FIRST)]


async def test_chains_are_numbered_once(store: Store) -> None:
    async with store.write() as tx:
        taken = await tx.chains.take(KEYS[:2])
        assert {key: chain.chain_id for key, chain in taken.items()} == {KEYS[0]: 1, KEYS[1]: 2}
    async with store.write() as tx:
        taken = await tx.chains.take([KEYS[2], KEYS[0], KEYS[2]])
        assert {key: chain.chain_id for key, chain in taken.items()} == {KEYS[0]: 1, KEYS[2]: 3}
        assert await tx.chains.take([]) == {}
        assert await tx.chains.all() == [ChainRow(number, *key, -1, b"") for number, key in enumerate(KEYS, 1)]


async def test_an_authors_chains_in_a_circle_come_in_order(store: Store) -> None:
    async with store.write() as tx:
        await tx.chains.take(KEYS)
        assert [chain.incarnation for chain in await tx.chains.all_of(ANA, CIRCLE)] == [FIRST, SECOND]
        assert await tx.chains.all_of(ANA, b"other") == []


async def test_how_far_a_chain_has_come_is_written_and_its_keys_stay(store: Store) -> None:
    async with store.write() as tx:
        first, second = (await tx.chains.take(KEYS[:2])).values()
        moved = replace(first, head_seq=5, head_hash=b"five", first_min=1, last_min=2, due_seq=5, told_seq=4)
        await tx.chains.update([moved, replace(second, author=BO)])
        await tx.chains.update([])
        assert await tx.chains.all() == [moved, second]
        assert await tx.chains.owed(CIRCLE) == [moved]


async def test_two_chains_that_each_went_on_after_the_other_began_lived_at_once(store: Store) -> None:
    """Not those that followed each other, however close; nor one that ended long ago."""
    async with store.write() as tx:
        first, second, other = (await tx.chains.take(KEYS)).values()
        for begins, ends, found in ((100, 400, []), (100, 700, [(ANA, CIRCLE)]), (650, 700, [])):
            one = replace(first, first_min=1, last_min=500)
            two = replace(second, first_min=begins if ends == 700 else 500, last_min=ends + 400)
            await tx.chains.update([one, two, replace(other, first_min=1, last_min=900)])
            assert await tx.chains.lived_at_once(120, 0) == found
        await tx.chains.update(
            [replace(first, first_min=1, last_min=500), replace(second, first_min=100, last_min=900)]
        )
        assert await tx.chains.lived_at_once(120, 500) == []


async def _objects(tx: Transaction) -> list[ObjectRow]:
    await tx.chains.take(KEYS[:1])
    rows = [row(ObjectRow, chain_id=1, seq=seq) for seq in (0, 1, 5)]
    await tx.chains.insert_objects(rows)
    return rows


async def test_objects_are_found_by_their_place(store: Store) -> None:
    async with store.write() as tx:
        rows = await _objects(tx)
        assert await tx.chains.existing([(1, 0), (1, 2), (1, 5), (2, 0)]) == {
            (1, 0): rows[0].header_hash,
            (1, 5): rows[2].header_hash,
        }
        assert await tx.chains.existing([]) == {}
        assert await tx.chains.object_hash(1, 1) == rows[1].header_hash
        assert await tx.chains.object_hash(1, 2) is None
        assert await tx.chains.taken(*KEYS[0], 5)
        assert not await tx.chains.taken(*KEYS[0], 4)
        assert not await tx.chains.taken(*KEYS[1], 5)


async def test_the_first_object_at_a_place_stays(store: Store) -> None:
    """Effects are unique by (author, circle, incarnation, seq), whatever envelope brings them."""
    async with store.write() as tx:
        rows = await _objects(tx)
        await tx.chains.insert_objects([replace(rows[1], header_hash=b"forged"), row(ObjectRow, chain_id=1, seq=2)])
        assert await tx.chains.object_hash(1, 1) == rows[1].header_hash
        assert await tx.chains.object_hash(1, 2) is not None


async def test_an_object_without_its_chain_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        async with store.write() as tx:
            await tx.chains.insert_objects([row(ObjectRow, chain_id=99, seq=0)])
