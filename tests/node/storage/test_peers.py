"""Peers, invitations, cards, profiles and prekeys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almenara.node.storage.rows import CardRow, InvitationRow, OwnPrekeyRow, PeerRow, PrekeyRow, ProfileRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

NODE, OTHER = b"n" * 32, b"o" * 32


async def test_a_peer_comes_back_as_it_went_in(store: Store) -> None:
    one = row(PeerRow, endpoints=("beta.example:7790", "[::1]:1"), direct_circle=None, verified_at=None)
    async with store.write() as tx:
        await tx.peers.put(one)
        assert await tx.peers.get(one.node_id) == one
        assert await tx.peers.get(b"?") is None


async def test_putting_a_peer_again_replaces_it(store: Store) -> None:
    one = row(PeerRow)
    async with store.write() as tx:
        await tx.peers.put(one)
        await tx.peers.put(replace(one, name="beta", endpoints=()))
        assert await tx.peers.all() == [replace(one, name="beta", endpoints=())]


async def test_some_columns_of_one_peer_change(store: Store) -> None:
    one, other = row(PeerRow, paired_at=1), row(PeerRow, paired_at=2)
    async with store.write() as tx:
        await tx.peers.put(other)
        await tx.peers.put(one)
        await tx.peers.set(one.node_id, state="blocked", reason="its key changed", verified_at=None)
        assert await tx.peers.all() == [
            replace(one, state="blocked", reason="its key changed", verified_at=None),
            other,
        ]
        await tx.peers.delete(one.node_id)
        assert await tx.peers.all() == [other]


async def test_invitations_come_soonest_to_expire_first(store: Store) -> None:
    async with store.write() as tx:
        await tx.peers.put_invitation(b"late", b"dump 1", 20)
        await tx.peers.put_invitation(b"soon", b"dump 2", 10)
        await tx.peers.put_invitation(b"soon", b"dump 3", 11)
        soon, late = InvitationRow(b"soon", b"dump 3", 11), InvitationRow(b"late", b"dump 1", 20)
        assert await tx.peers.invitations() == [soon, late]
        assert await tx.peers.invitation(b"soon") == soon
        await tx.peers.delete_invitation(b"soon")
        assert await tx.peers.invitation(b"soon") is None


async def test_cards_are_kept_by_their_counter(store: Store) -> None:
    cards = [row(CardRow, node_id=NODE, counter=counter) for counter in (2, 1, 3)] + [row(CardRow, node_id=OTHER)]
    async with store.write() as tx:
        for card in cards:
            await tx.cards.put_card(card)
        assert await tx.cards.newest_card(NODE) == cards[2]
        assert await tx.cards.card(NODE, 1) == cards[1]
        assert await tx.cards.card(NODE, 9) is None
        assert await tx.cards.newest_card(b"?") is None
        assert await tx.cards.cards(NODE) == [cards[1], cards[0], cards[2]]
        assert await tx.cards.all_cards() == [cards[1], cards[0], cards[2], cards[3]]


async def test_a_node_has_one_profile(store: Store) -> None:
    first, second, other = row(ProfileRow, node_id=NODE), row(ProfileRow, node_id=NODE), row(ProfileRow, node_id=OTHER)
    async with store.write() as tx:
        for profile in (first, second, other):
            await tx.cards.put_profile(profile)
        assert await tx.cards.profile(NODE) == second
        assert await tx.cards.profile(b"?") is None
        assert await tx.cards.profiles() == {NODE: second, OTHER: other}


async def test_own_prekeys_are_destroyed_on_their_day(store: Store) -> None:
    keys = [row(OwnPrekeyRow, created_at=at, destroy_at=at + 100) for at in (1, 2)]
    async with store.write() as tx:
        for key in keys:
            await tx.prekeys.put_own(key)
        assert await tx.prekeys.own() == keys
        assert await tx.prekeys.destroy_own(100) == 0
        assert await tx.prekeys.destroy_own(101) == 1
        assert await tx.prekeys.own() == keys[1:]


async def test_of_another_node_the_newest_prekey_is_kept(store: Store) -> None:
    first, second = row(PrekeyRow, node_id=NODE), row(PrekeyRow, node_id=NODE)
    async with store.write() as tx:
        await tx.prekeys.put_peer(first)
        await tx.prekeys.put_peer(second)
        assert await tx.prekeys.newest_for(NODE) == second
        assert await tx.prekeys.newest_for(OTHER) is None
        assert await tx.prekeys.all_peers() == [second]
