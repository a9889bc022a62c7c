"""What we hold of every node we know: cards, profiles, prekeys; each proves itself, whoever brings it (PROTOCOL §1)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from almenara.crypto.identity import NodeId
from almenara.node.clock import MINUTE_MS
from almenara.node.storage.rows import CardRow, PrekeyRow, ProfileRow
from almenara.protocol.card import (
    Card,
    Introduction,
    Prekey,
    Profile,
    Status,
    Succession,
    check_old_key,
    parse_card,
    parse_introduction,
    parse_prekey,
    parse_profile,
    supersedes,
)
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.limits import MINUTES_PER_DAY, PREKEY_USE_DAYS

if TYPE_CHECKING:
    from almenara.node.storage.engine import Transaction
    from almenara.protocol.object import Header


class Cards:
    """An address book that believes only signatures. In memory, written through to the database."""

    def __init__(self, own: NodeId) -> None:
        self.own = own
        self._cards: dict[bytes, dict[int, Card]] = {}
        self._profiles: dict[bytes, Profile] = {}
        self._prekeys: dict[bytes, Prekey] = {}
        self.conflicts: set[bytes] = set()  # nodes with two cards of one counter: blocked until a human decides
        self.called: dict[bytes, str] = {}  # names under which people verified our peers: no profile changes these

    async def load(self, tx: Transaction) -> None:
        """Read back what was verified when it came, and nothing else."""
        self._cards.clear()
        self._profiles.clear()
        self._prekeys.clear()
        for row in await tx.cards.all_cards():
            self._cards.setdefault(row.node_id, {})[row.counter] = parse_card(row.blob)
        for profile_row in (await tx.cards.profiles()).values():
            for key in self._keys(profile_row.node_id):
                with contextlib.suppress(RemoteError):
                    self._profiles.setdefault(profile_row.node_id, parse_profile(profile_row.blob, key))
        for prekey_row in await tx.prekeys.all_peers():
            for key in self._keys(prekey_row.node_id):
                with contextlib.suppress(RemoteError):
                    self._keep_prekey(parse_prekey(prekey_row.blob, key))

    def _keys(self, node: bytes) -> list[bytes]:
        """A node's operational keys: what it signed before it renewed them stands until it is said anew."""
        return list(dict.fromkeys(card.op_sign for card in self._cards.get(node, {}).values()))

    def newest(self, node: NodeId) -> Card | None:
        """The card that counts now: a revocation, whatever its counter, else the highest."""
        held = self._cards.get(node.raw)
        if not held:
            return None
        return max(held.values(), key=lambda card: (card.status is Status.REVOKED, card.counter))

    def profile(self, node: NodeId) -> Profile | None:
        """How the node calls itself."""
        return self._profiles.get(node.raw)

    def name(self, node: NodeId) -> str:
        """The name it was verified under, else the one it gives itself, or its short id while no profile is here."""
        profile = self._profiles.get(node.raw)
        return self.called.get(node.raw) or (profile.name if profile else node.short)

    def prekey(self, node: NodeId, now_min: int) -> tuple[bytes, bytes] | None:
        """Key id and public key to seal to, unless all we have is too old."""
        prekey = self._prekeys.get(node.raw)
        return (prekey.kid, prekey.public) if prekey and prekey.is_usable(now_min) else None

    def introduction(self, node: NodeId) -> bytes | None:
        """Card, profile and prekey as one blob, to hand on."""
        card, profile, prekey = self.newest(node), self._profiles.get(node.raw), self._prekeys.get(node.raw)
        if card is None or profile is None or prekey is None:
            return None
        return Introduction(card=card, profile=profile, prekey=prekey).encode()

    def knows(self, node: NodeId) -> bool:
        """Whether its objects can be verified here."""
        return node.raw in self._cards

    def is_revoked(self, node: NodeId) -> bool:
        """Whether its root has ended it."""
        card = self.newest(node)
        return card is not None and card.status is Status.REVOKED

    def revoked(self) -> list[NodeId]:
        """Every node whose root has ended it."""
        return [NodeId(raw) for raw in self._cards if self.is_revoked(NodeId(raw))]

    def sign_public(self, header: Header, arrived_min: int) -> bytes:
        """The key an object must be signed with.

        Raises `RemoteError`: UNKNOWN_AUTHOR while the card is still to come, OLD_KEY.
        """
        held = self._cards.get(header.author, {})
        card = held.get(header.card_counter)
        if card is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "card_counter")
        later = [other for counter, other in held.items() if counter > card.counter or other.status is Status.REVOKED]
        if later:
            check_old_key(card, later, created_min=header.created_min, arrived_min=arrived_min)
        return card.op_sign

    async def take_introduction(self, tx: Transaction, blob: bytes, now_min: int) -> Introduction:
        """Verify and keep all three. Raises `RemoteError`."""
        introduction = parse_introduction(blob)
        await self.take_card(tx, introduction.card.blob)
        await self.take_profile(tx, introduction.profile.blob, introduction.node_id)
        await self.take_prekey(tx, introduction.prekey.blob, introduction.node_id, now_min)
        return introduction

    async def take_card(self, tx: Transaction, blob: bytes) -> Card:
        """Keep a card that counts; older ones are ignored, a second one of the same counter is a conflict.

        Raises `RemoteError`.
        """
        card = parse_card(blob)
        held = self.newest(card.node_id)
        verdict = supersedes(held, card) if held else Succession.ACCEPT
        if verdict is Succession.CONFLICT:
            self.conflicts.add(card.node_id.raw)
            raise RemoteError(Defect.REPEATED, "counter", "one card with this counter")
        if verdict is Succession.ACCEPT:
            await self._keep_card(tx, card)
        return card

    async def _keep_card(self, tx: Transaction, card: Card) -> None:
        self._cards.setdefault(card.node_id.raw, {})[card.counter] = card
        await tx.cards.put_card(
            CardRow(
                node_id=card.node_id.raw,
                counter=card.counter,
                blob=card.blob,
                sign_public=card.op_sign,
                tls_cert=card.tls_cert,
                status=int(card.status),
                issued_min=card.issued,
            )
        )

    async def decide(self, tx: Transaction, card: Card) -> None:
        """People compared codes with whoever shows this card: of two with one counter it is the true one."""
        self.conflicts.discard(card.node_id.raw)
        held = self.newest(card.node_id)
        if held is not None and supersedes(held, card) is Succession.CONFLICT:
            await self._keep_card(tx, card)

    async def take_profile(self, tx: Transaction, blob: bytes, node: NodeId) -> None:
        """Keep the newest profile. Raises `RemoteError`, among others for one of another node."""
        profile = parse_profile(blob, self._op_sign(node))
        if profile.node_id != node:
            raise RemoteError(Defect.WRONG_NODE, "profile")
        held = self._profiles.get(node.raw)
        if held is None or profile.issued >= held.issued:
            self._profiles[node.raw] = profile
            await tx.cards.put_profile(
                ProfileRow(
                    node_id=node.raw, blob=profile.blob, name=profile.name, kind=profile.kind, country=profile.country
                )
            )

    async def take_prekey(self, tx: Transaction, blob: bytes, node: NodeId, now_min: int) -> None:
        """Keep the newest prekey that others may still seal to. Raises `RemoteError`."""
        prekey = parse_prekey(blob, self._op_sign(node))
        if prekey.node_id != node:
            raise RemoteError(Defect.WRONG_NODE, "prekey")
        if prekey.is_usable(now_min) and self._keep_prekey(prekey):
            expires = (prekey.issued + PREKEY_USE_DAYS * MINUTES_PER_DAY) * MINUTE_MS
            await tx.prekeys.put_peer(PrekeyRow(node_id=node.raw, kid=prekey.kid, blob=prekey.blob, expires_at=expires))

    def _keep_prekey(self, prekey: Prekey) -> bool:
        held = self._prekeys.get(prekey.node_id.raw)
        newer = held is None or prekey.issued > held.issued
        if newer:
            self._prekeys[prekey.node_id.raw] = prekey
        return newer

    def _op_sign(self, node: NodeId) -> bytes:
        card = self.newest(node)
        if card is None:
            raise RemoteError(Defect.UNKNOWN_AUTHOR, "node_id")
        return card.op_sign
