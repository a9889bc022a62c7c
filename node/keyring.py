"""The keys in memory: class keys by key id, scope keys by week, our own prekeys (PROTOCOL §1, §5.7, §6).

The database is where they live; the keyring is loaded from it at start and follows it after each commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from almenara.crypto.sealing import PrekeySecret
from almenara.protocol import keys, scope
from almenara.protocol.messages import MAX_PROOFS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almenara.node.storage.rows import CarriedRow, ClassKeyRow, OwnPrekeyRow, StatementRow

CLASSES = (0, 1)  # travels 7 days, 35 days


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One class key of one statement of one circle."""

    circle_id: bytes
    statement_id: bytes
    cls: int
    kid: bytes
    key: bytes
    pending: bool = False  # came in a key packet whose statement is still to come: opens that statement, nothing else


class Keyring:
    """What we can open, seal and prove at this moment."""

    def __init__(self) -> None:
        self._by_kid: dict[bytes, HeldKey] = {}
        self._by_statement: dict[tuple[bytes, int], HeldKey] = {}
        self._carry: dict[bytes, bytes] = {}  # statement id -> carry secret
        self._prekeys: dict[bytes, PrekeySecret] = {}
        self._scopes: tuple[int, dict[bytes, bytes]] | None = None  # week -> tag -> scope key, until something changes
        self._carried: tuple[CarriedRow, ...] = ()
        self._carried_tags: frozenset[bytes] = frozenset()

    def load(self, class_keys: list[ClassKeyRow], statements: list[StatementRow], prekeys: list[OwnPrekeyRow]) -> None:
        """Take over what the database holds; keys of early packets are added by whoever keeps those."""
        self._by_kid.clear()
        self._by_statement.clear()
        for row in class_keys:
            self.add(HeldKey(row.circle_id, row.statement_id, row.cls, row.kid, row.key))
        self._carry = {row.statement_id: row.carry_secret for row in statements if row.carry_secret}
        self._prekeys = {row.kid: PrekeySecret.from_seed(row.seed) for row in prekeys}
        self._scopes = None

    def add(self, held: HeldKey) -> None:
        """A class key that came with a key packet, or that we made."""
        self._scopes = None
        self._by_kid[held.kid] = held
        self._by_statement[held.statement_id, held.cls] = held

    def add_carry(self, statement_id: bytes, carry_secret: bytes) -> None:
        """The secret behind a statement's scopes."""
        self._scopes = None
        self._carry[statement_id] = carry_secret

    def add_statement(
        self, circle_id: bytes, statement_id: bytes, epoch_key: bytes, *, pending: bool = False
    ) -> list[HeldKey]:
        """Derive and hold both class keys of a statement."""
        held = []
        for cls in CLASSES:
            key = keys.class_key(epoch_key, circle_id, statement_id, cls)
            kid = keys.kid(key, circle_id, statement_id, cls)
            held.append(HeldKey(circle_id, statement_id, cls, kid, key, pending))
            self.add(held[-1])
        return held

    def add_prekey(self, kid: bytes, secret: PrekeySecret) -> None:
        """Our own new prekey."""
        self._prekeys[kid] = secret

    def open_with(self, kid: bytes) -> HeldKey | None:
        """The class key an envelope names, if we hold it."""
        return self._by_kid.get(kid)

    def seal_with(self, statement_id: bytes, cls: int) -> HeldKey | None:
        """The class key to seal with under a statement, if we hold it."""
        return self._by_statement.get((statement_id, cls))

    def holds(self, statement_id: bytes) -> bool:
        """Whether objects of this statement can be opened here, if only those of the longer class."""
        held = [self._by_statement.get((statement_id, cls)) for cls in CLASSES]
        return any(key is not None and not key.pending for key in held)

    def kids(self) -> list[bytes]:
        """Key ids of everything that can be opened here, our prekeys included."""
        return [*self._by_kid, *self._prekeys]

    def statements(self) -> set[bytes]:
        """All statements whose keys are here."""
        return {held.statement_id for held in self._by_statement.values() if not held.pending}

    def statements_of(self, circle_id: bytes) -> set[bytes]:
        """The same, of one circle."""
        return {
            held.statement_id
            for held in self._by_statement.values()
            if held.circle_id == circle_id and not held.pending
        }

    def drop(self, statement_id: bytes) -> None:
        """Forget a statement's keys."""
        self._scopes = None
        for cls in CLASSES:
            held = self._by_statement.pop((statement_id, cls), None)
            if held is not None:
                self._by_kid.pop(held.kid, None)
        self._carry.pop(statement_id, None)

    def prekey(self, kid: bytes) -> PrekeySecret | None:
        """Our prekey that a key packet is sealed to."""
        return self._prekeys.get(kid)

    def prekeys(self) -> list[PrekeySecret]:
        """All of them, to try where nothing says which was used."""
        return list(self._prekeys.values())

    def carry_secret(self, statement_id: bytes) -> bytes | None:
        """The secret from which a statement's tags derive."""
        return self._carry.get(statement_id)

    def tag(self, statement_id: bytes, hour: int) -> bytes | None:
        """The tag of an envelope sealed under a statement in that hour."""
        secret = self._carry.get(statement_id)
        return scope.tag(scope.scope_key(secret, scope.week_of(hour))) if secret else None

    def scopes(self, hour: int) -> dict[bytes, bytes]:
        """Tag to scope key, for every scope of a statement whose keys live: the last six weeks and the next."""
        week = scope.week_of(hour)
        if self._scopes is None or self._scopes[0] != week:
            self._scopes = week, self._derive_scopes(hour)
        return self._scopes[1]

    def carry(self, rows: Sequence[CarriedRow]) -> None:
        """The scopes that we carry for peers from now on, the most wanted first."""
        self._carried = tuple(rows)
        self._carried_tags = frozenset(row.tag for row in rows)

    def carries(self, tag: bytes) -> bool:
        """Whether a peer asked us to carry this scope."""
        return tag in self._carried_tags

    def carried_for(self, peer: bytes) -> set[bytes]:
        """The tags of the scopes that one peer asked us to carry."""
        return {row.tag for row in self._carried if row.node_id == peer}

    def provable(self, hour: int) -> dict[bytes, bytes]:
        """Tag to scope key of all that INTEREST proves: our own scopes first, then those we carry, as many as fit."""
        weeks = scope.weeks_of_interest(hour)
        carried = ((row.tag, row.key) for row in self._carried if row.week in weeks)
        found: dict[bytes, bytes] = {}
        for tag, key in chain(self.scopes(hour).items(), carried):
            found.setdefault(tag, key)
        return dict(islice(found.items(), MAX_PROOFS))

    def _derive_scopes(self, hour: int) -> dict[bytes, bytes]:
        alive = {statement_id for statement_id, _ in self._by_statement}
        found: dict[bytes, bytes] = {}
        for secret in {secret for statement_id, secret in self._carry.items() if statement_id in alive}:
            for week in scope.weeks_of_interest(hour):
                key = scope.scope_key(secret, week)
                found[scope.tag(key)] = key
        return found
