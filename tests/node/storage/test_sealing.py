"""What a seized disk gives: nothing that names people, cases, keys or who talks to whom beyond node ids.

Canaries go through every repository into every sealed column; then every byte that the database wrote is searched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import LargeBinary, text
from sqlalchemy.exc import IntegrityError

from almenara.crypto.errors import OpenFailed
from almenara.node.storage import rows, schema
from almenara.node.storage.engine import Store, Transaction, open_store
from almenara.node.storage.sealed import Blind, Flag, Sealed
from tests.node.storage.conftest import COLUMN_KEY, DATABASE_KEY, NOW
from tests.node.storage.samples import CANARY, row, sealed_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from tests.support.postgres import Cluster

CONTROL = b"CONTROL-51c7"

PLAIN_BYTES = {
    "node_id", "circle_id", "statement_id", "case_id", "alert_id", "envelope_id", "invite_id", "ref_id", "kid", "tag",
    "author", "issuer", "parent", "anchor", "peer", "invited_by", "direct_circle", "source", "recipient",
    "incarnation", "epoch", "header_hash", "head_hash", "prev", "salt", "data",
}  # fmt: skip
"""Identifiers, hashes over sealed input, and envelopes, which are ciphertext already."""
PLAIN_TEXTS = {"key", "name", "state", "kind", "direction", "role", "type"}
"""Words of closed lists, and names that the program itself gives (of facts, counters)."""


on_postgresql = pytest.mark.parametrize("place", ["postgresql"], indirect=True)
"""SQLCipher encrypts pages; values are sealed on PostgreSQL alone."""


def _sealed_columns() -> set[str]:
    return {
        f"{table.name}.{column.name}"
        for table in schema.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, Sealed | Blind)
    }


def test_every_column_of_bytes_or_text_is_sealed_or_named_here_as_plain() -> None:
    """A new column makes somebody decide."""
    for table in schema.metadata.tables.values():
        for column in table.c:
            if isinstance(column.type, Sealed | Blind | Flag):
                continue
            plain = PLAIN_BYTES if isinstance(column.type, LargeBinary) else PLAIN_TEXTS
            assert column.type.python_type is int or column.name in plain, f"{table.name}.{column.name}"


def test_every_sealed_column_is_sealed_under_its_own_name() -> None:
    """The name is part of the seal, so a value moved to another column does not open."""
    for table in schema.metadata.tables.values():
        for column in table.c:
            if isinstance(column.type, Sealed | Blind):
                assert column.type.column == f"{table.name}.{column.name}"


@on_postgresql
async def test_a_search_of_every_byte_that_postgresql_wrote_finds_no_canary(
    open_place: Callable[[], Awaitable[Store]], cluster: Cluster
) -> None:
    """Tables, indexes, write-ahead log, server log; rows changed and deleted, and a refused insert, included."""
    store = await open_place()
    await _plant_and_stir(store)
    cluster.checkpoint()
    found = _search(cluster.files())
    assert found[CANARY.encode()] == []
    assert found[CONTROL], "the envelope's bytes, which are not sealed, were not found: the search is blind"


async def test_a_search_of_every_byte_of_the_home_finds_no_canary(tmp_path: Path) -> None:
    """SQLCipher's file, its write-ahead log and its index, while they are in use."""
    store = await open_store(tmp_path / "data.db", DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW)
    await _plant_and_stir(store)
    (tmp_path / "plain").write_bytes(CONTROL)
    names = {path.name for path in tmp_path.iterdir()}
    found = _search(tmp_path.iterdir())
    await store.close()
    assert names == {"data.db", "data.db-wal", "data.db-shm", "plain"}
    assert found[CANARY.encode()] == []
    assert [path.name for path in found[CONTROL]] == ["plain"]


@on_postgresql
async def test_what_was_sealed_for_one_column_opens_in_no_other(store: Store) -> None:
    async with store.write() as tx:
        await tx.people.put(rows.PersonRow("Ana", "admin", "hash", 1))
    async with store._writer.connect() as connection, connection.begin():
        await connection.execute(text("UPDATE people SET name = password_hash"))
    with pytest.raises(OpenFailed):
        async with store.read() as tx:
            await tx.people.all()


@on_postgresql
async def test_another_column_key_opens_nothing_and_finds_nobody(store: Store, place: str) -> None:
    async with store.write() as tx:
        await tx.people.put(rows.PersonRow("Ana", "admin", "hash", 1))
    stranger = await open_store(place, DATABASE_KEY, bytes(32), clock=lambda: NOW)
    async with stranger.read() as tx:
        assert await tx.people.get("Ana") is None
        with pytest.raises(OpenFailed):
            await tx.people.all()
    await stranger.close()


@on_postgresql
async def test_equal_values_are_sealed_differently(store: Store) -> None:
    """Otherwise equal names would show as equal on a seized disk."""
    async with store.write() as tx:
        for node in (b"a", b"b"):
            await tx.peers.put(row(rows.PeerRow, node_id=node, name="same"))
    async with store._writer.connect() as connection, connection.begin():
        names = (await connection.execute(text("SELECT name FROM peers"))).scalars().all()
    assert len({bytes(name) for name in names}) == 2


async def _plant_and_stir(store: Store) -> None:
    planted: set[str] = set()
    async with store.write() as tx:
        await _plant(tx, planted)
    assert planted == _sealed_columns()
    sent = sealed_row(rows.SentRow, schema.sent, planted)
    with pytest.raises(IntegrityError):  # noqa: PT012 - the transaction is what must raise
        async with store.write() as tx:
            await tx.cases.put_sent(sent)
            await tx.cases.put_sent(sent)
    async with store.write() as tx:
        await tx.keys.destroy_due(10**15)
        await tx.prekeys.destroy_own(10**15)
        for case in await tx.cases.all():
            await tx.cases.put(replace(case, document={"title": f"{CANARY} changed"}))


async def _plant(tx: Transaction, planted: set[str]) -> None:
    """One row with canaries through every repository."""

    def made(row_type: type[Any], table: Any, **given: Any) -> Any:
        return sealed_row(row_type, table, planted, **given)

    await tx.meta.set("log-epoch", CANARY.encode())
    await tx.peers.put(made(rows.PeerRow, schema.peers))
    invitation = made(rows.InvitationRow, schema.invitations)
    await tx.peers.put_invitation(invitation.invite_id, invitation.dump, invitation.expires_at)
    await tx.cards.put_card(made(rows.CardRow, schema.cards))
    await tx.cards.put_profile(made(rows.ProfileRow, schema.profiles))
    await tx.prekeys.put_own(made(rows.OwnPrekeyRow, schema.own_prekeys))
    await tx.prekeys.put_peer(made(rows.PrekeyRow, schema.peer_prekeys))
    await tx.circles.put(made(rows.CircleRow, schema.circles))
    await tx.circles.put_frozen(b"case", b"circle", {"place": CANARY})
    await tx.statements.put(made(rows.StatementRow, schema.statements))
    leave = made(rows.LeaveRow, schema.leaves)
    await tx.statements.put_leave(b"c", b"n", b"s", leave.content, 1)
    await tx.keys.put(made(rows.ClassKeyRow, schema.class_keys))
    chain = (b"a" * 32, b"c" * 16, b"i" * 16)
    chains = await tx.chains.take([chain])
    await tx.chains.insert_objects([made(rows.ObjectRow, schema.objects, chain_id=chains[chain].chain_id)])
    await tx.forks.add(made(rows.ForkRow, schema.forks))
    await tx.forks.commit_of(made(rows.RevisionRow, schema.revisions))
    await tx.log.append([row(rows.EnvelopeRow, data=CONTROL * 8)])
    await tx.alerts.insert([made(rows.AlertRow, schema.alerts)])
    await tx.deliveries.insert([made(rows.DeliveryRow, schema.deliveries)])
    await tx.carrying.add_carried([made(rows.CarriedRow, schema.carried)])
    await tx.cases.put(made(rows.CaseRow, schema.cases))
    await tx.cases.put_sent(made(rows.SentRow, schema.sent))
    await tx.people.put(made(rows.PersonRow, schema.people))
    await tx.people.put_session(made(rows.SessionRow, schema.sessions))
    entry = made(rows.AuditRow, schema.audit)
    await tx.audit.add(1, entry.who, entry.what, entry.ref)
    await tx.quarantine.add([made(rows.QuarantineRow, schema.quarantine)])
    planted |= {"meta.value", "frozen.frozen"}  # not by a row type
    planted |= {"alerts.view_key", "people.name_key", "sessions.name_key", "sessions.token_key"}  # second forms


def _search(files: Iterable[Path]) -> dict[bytes, list[Path]]:
    """Which files hold which mark, as bytes or in hexadecimal, as PostgreSQL writes bytes in its log."""
    found: dict[bytes, list[Path]] = {CANARY.encode(): [], CONTROL: []}
    for path in files:
        content = path.read_bytes()
        for mark, places in found.items():
            if mark in content or mark.hex().encode() in content:
                places.append(path)
    return found
