"""Telling every circle what is new about ourselves: card, profile, prekey, each once (PROTOCOL §1, SCHEMAS §4)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from almenara.node.authoring import CRITICAL, ROUTINE, Author, Draft
from almenara.node.problem import Problem
from almenara.protocol.card import parse_introduction
from almenara.protocol.object import ObjectType

if TYPE_CHECKING:
    from almenara.node.circle import Circle
    from almenara.node.circles import Circles
    from almenara.node.storage.engine import Transaction

_DIGEST_BYTES = 32

log = structlog.get_logger()


class Announcements:
    """Remembers for each circle what it was told, so that one that could not be told is told later."""

    def __init__(self, circles: Circles, author: Author) -> None:
        self._circles, self._author = circles, author

    async def make(self, tx: Transaction) -> None:
        """Post what some active circle does not know yet."""
        introduction = self._circles.cards.introduction(self._circles.own)
        if introduction is None:
            return
        own = parse_introduction(introduction)
        news = [
            (ObjectType.CARD, own.card.blob),
            (ObjectType.PROFILE, own.profile.blob),
            (ObjectType.PREKEY, own.prekey.blob),
        ]
        for circle in self._circles:
            if circle.row.state == "active":
                await self._tell(tx, circle, news)

    async def _tell(self, tx: Transaction, circle: Circle, news: list[tuple[ObjectType, bytes]]) -> None:
        """A circle that is new heard what was current when we paired or accepted."""
        key = f"told:{circle.id.hex()}"
        told = await tx.meta.get(key)
        digests = [sha256(blob).digest() for _, blob in news]
        if told is not None:
            known = {told[start : start + _DIGEST_BYTES] for start in range(0, len(told), _DIGEST_BYTES)}
            lacking = [item for item, digest in zip(news, digests, strict=True) if digest not in known]
            if not lacking or not await self._post(tx, circle, lacking):
                return
        await tx.meta.set(key, b"".join(digests))

    async def _post(self, tx: Transaction, circle: Circle, news: list[tuple[ObjectType, bytes]]) -> bool:
        try:
            statement_id = self._circles.sendable(circle)
        except Problem:
            log.info("not-announced")  # somebody who is out could still read: with the next key
            return False
        for kind, blob in news:
            draft = Draft(
                circle_id=circle.id,
                statement_id=statement_id,
                type=kind,
                body=blob,
                tlp=circle.max_tlp,
                expires_min=0,
                lane=CRITICAL if kind is ObjectType.CARD else ROUTINE,
            )
            await self._author.post(tx, draft)
        return True
