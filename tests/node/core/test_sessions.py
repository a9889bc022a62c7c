"""How long somebody stays signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.clock import MINUTE_MS
from almenara.node.people import People
from almenara.node.storage.engine import open_store

if TYPE_CHECKING:
    from pathlib import Path

IDLE_MINUTES = 30
PASSWORD = "four plain unrelated words"


async def test_only_somebody_who_does_something_stays_signed_in(tmp_path: Path) -> None:
    """Pages that refresh by themselves neither end a session nor prolong it."""
    now = 1_800_000_000_000
    store = await open_store(tmp_path / "data.db", bytes(32), bytes(32), clock=lambda: now)
    try:
        people = People(store, lambda: now, IDLE_MINUTES)
        await people.add("Amina", "case worker", PASSWORD)
        token = (await people.sign_in("Amina", PASSWORD)).token
        now += 20 * MINUTE_MS
        assert await people.session(token) is not None  # she clicked
        now += 20 * MINUTE_MS
        assert await people.session(token, touch=False) is not None  # her page refreshed
        now += 11 * MINUTE_MS
        assert await people.session(token, touch=False) is None
        assert await people.session(token) is None
    finally:
        await store.close()
