"""Reading must not cost more because more is held: frequent queries on large tables walk an index (SQLite's plans).

PostgreSQL plans by statistics and rightly takes no index for an empty table, so only SQLite's planner is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from almenara.node.storage.engine import Store, Transaction, open_store
from tests.node.storage.conftest import COLUMN_KEY, DATABASE_KEY, NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

TAGS = [b"t" * 16, b"u" * 16]

QUESTIONS: dict[str, Any] = {
    "known": lambda tx: tx.log.known(TAGS),
    "after": lambda tx: tx.log.after(1, 5, TAGS, b"r", exclude_source=b"s", limit=9),
    "ids_after": lambda tx: tx.log.ids_after(5, 9),
    "refused_after": lambda tx: tx.log.refused_after(5, 9),
    "refused": lambda tx: tx.log.refused(TAGS),
    "places": lambda tx: tx.log.places(TAGS),
    "addressed": lambda tx: tx.log.addressed(b"n"),
    "of_ids": lambda tx: tx.log.of_ids(TAGS),
    "newest": lambda tx: tx.log.newest(1, before=5, limit=9),
    "held": lambda tx: tx.log.held(TAGS),
    "held_bytes": lambda tx: tx.log.held_bytes(TAGS[0]),
    "backlog": lambda tx: tx.log.backlog(b"n", TAGS),
    "set_state": lambda tx: tx.log.set_state(TAGS, "opened"),
    "delete_past_life": lambda tx: tx.log.delete_past_life(NOW),
    "payer": lambda tx: tx.carrying.payer(TAGS[0]),
    "used": lambda tx: tx.carrying.used(TAGS),
    "oldest_of_heaviest": lambda tx: tx.carrying.oldest_of_heaviest(TAGS, 1, 9),
    "evict": lambda tx: tx.carrying.evict(TAGS),
    "erase": lambda tx: tx.carrying.erase(TAGS),
    "taken": lambda tx: tx.chains.taken(b"a", b"c", b"i", 1),
    "existing": lambda tx: tx.chains.existing([(1, 2), (3, 4)]),
    "chains": lambda tx: tx.chains.take([(b"a", b"c", b"i")]),
    "get": lambda tx: tx.alerts.get(b"a"),
    "inbox": lambda tx: tx.alerts.inbox(5, 10),
    "own": lambda tx: tx.alerts.own(),
    "same_view": lambda tx: tx.alerts.same_view(b"b", b"c"),
    "expire": lambda tx: tx.alerts.expire(NOW),
    "of": lambda tx: tx.deliveries.of(b"a"),
    "open": lambda tx: tx.deliveries.open(),
    "standing": lambda tx: tx.gaps.standing(2, 1),
    "owed": lambda tx: tx.chains.owed(b"c"),
    "towards": lambda tx: tx.deliveries.towards(b"n", TAGS),
    "unsettled": lambda tx: tx.deliveries.unsettled(b"n"),
}


@pytest.fixture
async def sqlcipher_store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "data.db", DATABASE_KEY, COLUMN_KEY, clock=lambda: NOW)
    yield store
    await store.close()


@pytest.mark.parametrize("question", QUESTIONS)
async def test_no_frequent_query_reads_a_whole_table(sqlcipher_store: Store, question: str) -> None:
    tables = ("log", "alerts", "objects", "deliveries", "refused")
    for step in await _plan(sqlcipher_store, QUESTIONS[question]):
        assert not step.startswith(tuple(f"SCAN {table}" for table in tables)) or "ix_" in step, step


async def test_a_query_that_reads_a_whole_table_would_be_found(sqlcipher_store: Store) -> None:
    """Otherwise the test above could never fail."""
    plan = await _plan(sqlcipher_store, lambda tx: tx.log._connection.exec_driver_sql("SELECT source FROM log"))
    assert plan == ["SCAN log"]


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("after", "ix_log_scope (tag=? AND lane=? AND position>?)"),
        ("after", "ix_log_recipient (recipient=? AND lane=? AND position>?)"),
        ("held", "ix_log_held_kid (kid=?)"),
        ("held_bytes", "ix_log_held_tag (tag=?)"),
        ("own", "ix_alerts_own"),
        ("expire", "ix_alerts_expiry (expires_at<?)"),
        ("same_view", "COVERING INDEX ix_alerts_view (circle_id=?)"),
        ("unsettled", "ix_deliveries_open (node_id=?)"),
    ],
)
async def test_partial_and_covering_indexes_are_used(sqlcipher_store: Store, question: str, index: str) -> None:
    plan = await _plan(sqlcipher_store, QUESTIONS[question])
    assert any(index in step for step in plan), plan


async def _plan(store: Store, question: Callable[[Transaction], Awaitable[Any]]) -> list[str]:
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        if sql.startswith(("SELECT", "UPDATE alerts", "UPDATE log", "DELETE")):
            statements.append((sql, values))

    event.listen(store._writer.sync_engine, "before_cursor_execute", note)
    async with store.write() as tx:
        await question(tx)
        event.remove(store._writer.sync_engine, "before_cursor_execute", note)
        connection = tx.log._connection
        plans = [await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in statements]
        return [step[3] for plan in plans for step in plan]
