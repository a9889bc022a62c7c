"""Epochs of a circle: a statement with a fresh key is issued, handed to all, retired on schedule (PROTOCOL §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from almenara.crypto.random import random_bytes
from almenara.node.authoring import CRITICAL, Author, Draft
from almenara.node.circle import place_of, statement_row
from almenara.node.clock import MINUTE_MS, Clock, minute_of
from almenara.node.storage.rows import ClassKeyRow
from almenara.protocol.errors import LocalError
from almenara.protocol.keys import KEY_BYTES, carry_commit, class_key_ends, give_key, key_commit
from almenara.protocol.object import ObjectType
from almenara.protocol.revision import successor
from almenara.protocol.statement import MAX_CUTS, Cut, Role, Statement, Terms, found_direct, found_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almenara.crypto.identity import NodeId
    from almenara.crypto.signing import SigningKey
    from almenara.node.cards import Cards
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Transaction
    from almenara.protocol.circle import CircleHistory
    from almenara.protocol.object import SignedObject

TAG_BYTES = 16

log = structlog.get_logger()


class Epochs:
    """Draws keys, issues statements, seals key packets, and destroys what has had its time.

    `erased` is set when an epoch key went from its row and may still stand in the database's write-ahead log.
    """

    def __init__(
        self, own: NodeId, key: SigningKey, author: Author, cards: Cards, keyring: Keyring, clock: Clock
    ) -> None:
        self._own, self._key, self._author = own, key, author
        self._cards, self._keyring, self._clock = cards, keyring, clock
        self.erased = False

    def found_group(self, terms: Terms) -> tuple[Statement, bytes, bytes]:
        """Number 1 of a group, with its epoch key and carry secret; `announce` comes when its circle exists."""
        key, carry = random_bytes(KEY_BYTES), random_bytes(KEY_BYTES)
        statement = found_group(
            terms,
            founder=self._own,
            issued_min=minute_of(self._clock()),
            key_commit=key_commit(key),
            carry_commit=carry_commit(carry),
        )
        return statement, key, carry

    def found_direct(self, joiner: NodeId, retention_days: int) -> tuple[Statement, bytes, bytes]:
        """Number 1 of the direct circle with a peer that used our invitation."""
        key, carry = random_bytes(KEY_BYTES), random_bytes(KEY_BYTES)
        statement = found_direct(
            inviter=self._own,
            joiner=joiner,
            issued_min=minute_of(self._clock()),
            retention_days=retention_days,
            key_commit=key_commit(key),
            carry_commit=carry_commit(carry),
        )
        return statement, key, carry

    async def issue(
        self,
        tx: Transaction,
        history: CircleHistory,
        *,
        admit: Mapping[NodeId, Role] | None = None,
        remove: Mapping[NodeId, tuple[Cut, ...]] | None = None,
    ) -> Statement:
        """The statement after the current one, known to the history, posted, its key given to every member.

        Raises `LocalError` when the rules of PROTOCOL §5 do not let us; then nothing has changed.
        """
        parent = history.current
        changes = bool(admit or remove or history.reissues(self._own))
        key = random_bytes(KEY_BYTES)
        carry = random_bytes(KEY_BYTES) if changes else self._keyring.carry_secret(parent.id)
        carry = carry or random_bytes(KEY_BYTES)
        statement = successor(
            history,
            issuer=self._own,
            now_min=minute_of(self._clock()),
            key_commit=key_commit(key),
            carry_commit=carry_commit(carry),
            admit=admit,
            remove=remove,
        )
        history.add(statement, self._own)
        posted = await self.announce(tx, statement, key, carry)
        history.add(statement, self._own, place_of(posted))
        return statement

    async def announce(self, tx: Transaction, statement: Statement, key: bytes, carry: bytes) -> SignedObject:
        """Hold the key, give it to every other member, post the statement under it."""
        await tx.statements.put_content(statement_row(statement, b"", self._clock()))
        await self.hold(tx, statement, key, carry)
        for node, _ in statement.members:
            if node != self._own:
                await self._give(tx, statement, key, carry, node)
        draft = Draft(
            circle_id=statement.circle_id,
            statement_id=statement.id,
            type=ObjectType.STATEMENT,
            body=statement.body,
            tlp=statement.max_tlp,
            expires_min=0,
            lane=CRITICAL,
            created_min=statement.issued_min,
        )
        posted = (await self._author.post(tx, draft)).object
        await tx.statements.put_content(statement_row(statement, posted.encode(), self._clock()))
        return posted

    async def hold(self, tx: Transaction, statement: Statement, key: bytes, carry: bytes) -> None:
        """Keep an epoch key that its statement commits to, and both class keys; held already, nothing changes."""
        if self._keyring.holds(statement.id):
            return
        held = self._keyring.add_statement(statement.circle_id, statement.id, key)
        self._keyring.add_carry(statement.id, carry)
        await tx.statements.put_secrets(statement.circle_id, statement.id, key, carry)
        for one in held:
            await tx.keys.put(
                ClassKeyRow(
                    statement_id=one.statement_id,
                    circle_id=one.circle_id,
                    cls=one.cls,
                    kid=one.kid,
                    key=one.key,
                    destroy_at=None,
                )
            )

    async def _give(self, tx: Transaction, statement: Statement, key: bytes, carry: bytes, node: NodeId) -> None:
        """One key packet. Its tag is one the recipient can prove already, so that other members carry it too."""
        content = self.packet(statement, key, carry, node)
        prekey = self._cards.prekey(node, minute_of(self._clock()))
        if content is None or prekey is None:
            log.warning("no-prekey", peer=node.short)
            return
        hour = minute_of(self._clock()) // 60
        tag = self._keyring.tag(statement.parent, hour) if statement.parent else None
        await self._author.post_packet(tx, content, node, prekey, tag or random_bytes(TAG_BYTES))

    def packet(self, statement: Statement, key: bytes, carry: bytes, node: NodeId) -> bytes | None:
        """The signed content of a key packet, if the node may have it."""
        try:
            packet = give_key(statement, epoch_key=key, carry_secret=carry, recipient=node, giver=self._own)
        except LocalError:
            return None
        return packet.sign(self._key)

    async def packet_envelope(self, tx: Transaction, statement: Statement, node: NodeId) -> bytes:
        """The current key for a member who asks, sealed to its prekey; empty when it cannot be given."""
        secrets = await tx.statements.secrets(statement.id)
        prekey = self._cards.prekey(node, minute_of(self._clock()))
        if secrets is None or prekey is None:
            return b""
        content = self.packet(statement, secrets[0], secrets[1], node)
        return self._author.seal_packet(content, node, prekey, random_bytes(TAG_BYTES)) if content else b""

    async def cuts(self, tx: Transaction, circle_id: bytes, node: NodeId) -> tuple[Cut, ...]:
        """What counts of somebody about to be removed: the heads of its newest incarnations that we know."""
        chains = [chain for chain in await tx.chains.all_of(node.raw, circle_id) if chain.head_seq >= 0]
        newest = sorted(chains, key=lambda chain: chain.chain_id)[-MAX_CUTS:]
        return tuple(sorted(Cut(chain.incarnation, chain.head_seq, chain.head_hash) for chain in newest))

    async def retire(self, tx: Transaction, history: CircleHistory, *, over: bool) -> None:
        """Erase epoch keys of superseded statements now, and set the day on which their class keys die.

        `over`: we are no member any more, so it is time for the last ones too.
        """
        now_min = minute_of(self._clock())
        for statement_id in self._keyring.statements_of(history.circle):
            if not over and not history.is_superseded(statement_id):
                continue
            if await tx.statements.secrets(statement_id) is not None:
                await tx.statements.erase_epoch_key(statement_id)
                self.erased = True
            for cls in (0, 1):
                await tx.keys.set_destroy(statement_id, cls, class_key_ends(now_min, cls) * MINUTE_MS)
