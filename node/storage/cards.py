"""What nodes say of themselves: cards, profiles, prekeys."""

from __future__ import annotations

from almenara.node.storage import schema
from almenara.node.storage.repository import Repository, Shape
from almenara.node.storage.rows import CardRow, OwnPrekeyRow, PrekeyRow, ProfileRow

_CARD = Shape(CardRow, schema.cards)
_PROFILE = Shape(ProfileRow, schema.profiles)
_OWN = Shape(OwnPrekeyRow, schema.own_prekeys)
_PEER = Shape(PrekeyRow, schema.peer_prekeys)
_card = schema.cards.c


class Cards(Repository):
    """Cards by node and counter, and each node's profile."""

    __slots__ = ()

    async def put_card(self, row: CardRow) -> None:
        await self._put(_CARD, row)

    async def newest_card(self, node_id: bytes) -> CardRow | None:
        newest = _CARD.select().where(_card.node_id == node_id).order_by(_card.counter.desc()).limit(1)
        return next(iter(await self._rows(_CARD, newest)), None)

    async def card(self, node_id: bytes, counter: int) -> CardRow | None:
        return await self._row(_CARD, _card.node_id == node_id, _card.counter == counter)

    async def cards(self, node_id: bytes) -> list[CardRow]:
        """Of one node, oldest first."""
        return await self._rows(_CARD, _CARD.select().where(_card.node_id == node_id).order_by(_card.counter))

    async def all_cards(self) -> list[CardRow]:
        """Of every node, each node's oldest first."""
        return await self._rows(_CARD, _CARD.select().order_by(_card.node_id, _card.counter))

    async def put_profile(self, row: ProfileRow) -> None:
        await self._put(_PROFILE, row)

    async def profile(self, node_id: bytes) -> ProfileRow | None:
        return await self._row(_PROFILE, schema.profiles.c.node_id == node_id)

    async def profiles(self) -> dict[bytes, ProfileRow]:
        return {row.node_id: row for row in await self._rows(_PROFILE)}


class Prekeys(Repository):
    """Our own prekeys with their seeds, and the newest of each other node."""

    __slots__ = ()

    async def put_own(self, row: OwnPrekeyRow) -> None:
        await self._put(_OWN, row)

    async def own(self) -> list[OwnPrekeyRow]:
        """Oldest first."""
        return await self._rows(_OWN, _OWN.select().order_by(schema.own_prekeys.c.created_at))

    async def destroy_own(self, now: int) -> int:
        """Delete those whose day has come; returns how many. `Store.erase_checkpoint` afterwards clears the disk."""
        return await self._delete(schema.own_prekeys, schema.own_prekeys.c.destroy_at <= now)

    async def put_peer(self, row: PrekeyRow) -> None:
        await self._put(_PEER, row)

    async def newest_for(self, node_id: bytes) -> PrekeyRow | None:
        return await self._row(_PEER, schema.peer_prekeys.c.node_id == node_id)

    async def all_peers(self) -> list[PrekeyRow]:
        return await self._rows(_PEER)
