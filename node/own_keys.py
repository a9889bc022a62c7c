"""What we say of ourselves: our card when it must change, a new prekey every week, our profile (PROTOCOL §1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.crypto.sealing import PrekeySecret
from almenara.node.clock import MINUTE_MS, Clock, minute_of
from almenara.node.storage.rows import OwnPrekeyRow
from almenara.protocol.card import sign_card, sign_prekey, sign_profile
from almenara.protocol.limits import MINUTES_PER_DAY, PREKEY_KEEP_DAYS, PREKEY_NEW_DAYS, PREKEY_USE_DAYS

if TYPE_CHECKING:
    from almenara.node.cards import Cards
    from almenara.node.config import Config
    from almenara.node.identity import Identity
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Transaction
    from almenara.protocol.card import Card

CARD_YEARS = 2  # expiry only warns; a reminder that keys are to be renewed
CARD_RENEW_DAYS = 90  # before it expires, so that members who were long away never see an expired one
_DAY_MS = MINUTES_PER_DAY * MINUTE_MS


class OwnKeys:
    """Keeps card, profile and prekey current."""

    def __init__(self, identity: Identity, config: Config, cards: Cards, keyring: Keyring, clock: Clock) -> None:
        self._identity, self._config = identity, config
        self._cards, self._keyring, self._clock = cards, keyring, clock

    async def renew(self, tx: Transaction, certificate: bytes) -> None:
        """Whatever is missing, changed or too old, made anew."""
        await self._renew_card(tx, certificate)
        await self._renew_profile(tx)
        await self._renew_prekey(tx)

    async def _renew_card(self, tx: Transaction, certificate: bytes) -> None:
        held = self._cards.newest(self._identity.node_id)
        endpoints = tuple(self._config.endpoints)
        now = minute_of(self._clock())
        if held is not None and held.endpoints == endpoints and held.tls_cert == certificate and now < _due(held):
            return
        card = sign_card(
            root=self._identity.root,
            counter=held.counter + 1 if held else 1,
            op_sign=self._identity.operational.public,
            tls_cert=certificate,
            endpoints=endpoints,
            issued=now,
            expires=now + CARD_YEARS * 365 * MINUTES_PER_DAY,
        )
        await self._cards.take_card(tx, card.blob)

    async def _renew_profile(self, tx: Transaction) -> None:
        node, own = self._config.node, self._identity.node_id
        held = self._cards.profile(own)
        if held is not None and (held.name, held.kind, held.country) == (node.name, node.kind, node.country or ""):
            return
        profile = sign_profile(
            node_id=own,
            issued=minute_of(self._clock()),
            name=node.name,
            kind=node.kind,
            country=node.country or "",
            key=self._identity.operational,
        )
        await self._cards.take_profile(tx, profile.blob, own)

    async def _renew_prekey(self, tx: Transaction) -> None:
        now, own = self._clock(), self._identity.node_id
        newest = max((row.created_at for row in await tx.prekeys.own()), default=None)
        if newest is not None and now < newest + PREKEY_NEW_DAYS * _DAY_MS:
            return
        secret = PrekeySecret.generate()
        prekey = sign_prekey(node_id=own, public=secret.public, issued=minute_of(now), key=self._identity.operational)
        usable_until = now + PREKEY_USE_DAYS * _DAY_MS
        row = OwnPrekeyRow(
            kid=prekey.kid,
            seed=secret.seed,
            blob=prekey.blob,
            created_at=now,
            usable_until=usable_until,
            destroy_at=usable_until + PREKEY_KEEP_DAYS * _DAY_MS,
        )
        await tx.prekeys.put_own(row)
        await self._cards.take_prekey(tx, prekey.blob, own, minute_of(now))
        self._keyring.add_prekey(prekey.kid, secret)


def _due(card: Card) -> int:
    """The minute in which a card is old enough to say it again."""
    return card.expires - CARD_RENEW_DAYS * MINUTES_PER_DAY
