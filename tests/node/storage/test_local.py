"""What never leaves: cases, deliveries, people, audit, quarantine, small facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError

from almenara.node.storage import records
from almenara.node.storage.rows import AuditRow, CaseRow, DeliveryRow, PersonRow, QuarantineRow, SentRow, SessionRow
from tests.node.storage.conftest import NOW
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from almenara.node.storage.engine import Store

ALERT, ANA, BO = b"a" * 16, b"ana" * 8, b"bo" * 8


async def test_a_case_comes_back_as_it_went_in(store: Store) -> None:
    document = {"title": "Amenaza · تهديد", "persons": [{"name": "Ana", "aliases": []}], "place": {"lat": -1.25}}
    one = row(CaseRow, document=document, problems=[{"type": "x"}], warnings=[])
    async with store.write() as tx:
        await tx.cases.put(one)
        assert await tx.cases.get(one.case_id) == one
        assert await tx.cases.get(b"?") is None


async def test_cases_are_listed_by_state_oldest_first(store: Store) -> None:
    new, old = row(CaseRow, state="ready", created_at=2), row(CaseRow, state="draft", created_at=1)
    async with store.write() as tx:
        await tx.cases.put(new)
        await tx.cases.put(old)
        assert await tx.cases.all() == [old, new]
        assert await tx.cases.all("ready") == [new]
        await tx.cases.set_state(new.case_id, "closed")
        assert await tx.cases.all("closed") == [replace(new, state="closed", updated_at=NOW)]


async def test_a_case_goes_to_a_circle_once(store: Store) -> None:
    first = row(SentRow, case_id=b"case", circle_id=b"one", sent_at=1)
    second = row(SentRow, case_id=b"case", circle_id=b"two", sent_at=2)
    async with store.write() as tx:
        await tx.cases.put_sent(second)
        await tx.cases.put_sent(first)
        assert await tx.cases.sent(b"case") == [first, second]
        assert await tx.cases.sent_all() == [first, second]
        assert await tx.cases.sent(b"other") == []
    with pytest.raises(IntegrityError):
        async with store.write() as tx:
            await tx.cases.put_sent(replace(first, alert_id=b"another"))


def delivery(envelope: bytes, node: bytes, state: str = "queued") -> DeliveryRow:
    return DeliveryRow(ALERT, envelope, node, state, None, None, "")


async def test_deliveries_are_found_by_alert_and_by_envelope(store: Store) -> None:
    rows = [delivery(b"e1", ANA), delivery(b"e1", BO), delivery(b"e2", ANA)]
    async with store.write() as tx:
        await tx.deliveries.insert(rows)
        await tx.deliveries.insert([replace(rows[0], state="failed")])
        await tx.deliveries.insert([])
        assert {(one.envelope_id, one.node_id) for one in await tx.deliveries.of(ALERT)} == {
            (one.envelope_id, one.node_id) for one in rows
        }
        assert await tx.deliveries.by_envelopes([b"e1"]) == rows[:2]
        assert await tx.deliveries.by_envelopes([]) == []


async def test_a_stored_delivery_never_goes_back(store: Store) -> None:
    """An acknowledgement after commit is the promise to the author; a later loss of connection changes nothing."""
    async with store.write() as tx:
        await tx.deliveries.insert([delivery(b"e", ANA)])
        await tx.deliveries.set(b"e", ANA, state="sent", sent_at=1)
        await tx.deliveries.set(b"e", ANA, state="stored", stored_at=2)
        await tx.deliveries.set(b"e", ANA, state="failed", reason="refused")
        assert await tx.deliveries.of(ALERT) == [DeliveryRow(ALERT, b"e", ANA, "stored", 1, 2, "")]
        await tx.deliveries.set(b"e", ANA, reason="said twice")
        assert (await tx.deliveries.of(ALERT))[0].reason == "said twice"


async def test_what_is_unsettled_is_listed_for_its_recipient(store: Store) -> None:
    states = ("queued", "sent", "carried", "stored", "failed")
    async with store.write() as tx:
        await tx.deliveries.insert([delivery(state.encode(), ANA, state) for state in states] + [delivery(b"x", BO)])
        assert set(await tx.deliveries.unsettled(ANA)) == {b"queued", b"sent", b"carried"}
        assert {one.envelope_id for one in await tx.deliveries.open()} == {b"queued", b"sent", b"carried", b"x"}


async def test_people_are_found_by_name(store: Store) -> None:
    ana, bo = row(PersonRow, name="Ana María", created_at=2), row(PersonRow, name="بو", created_at=1)
    async with store.write() as tx:
        await tx.people.put(ana)
        await tx.people.put(bo)
        await tx.people.put(replace(ana, role="viewer"))
        assert await tx.people.get("Ana María") == replace(ana, role="viewer")
        assert await tx.people.get("ana maría") is None
        assert await tx.people.all() == [bo, replace(ana, role="viewer")]
        await tx.people.delete("بو")
        assert await tx.people.get("بو") is None


async def test_sessions_end_by_sign_out_by_person_and_by_time(store: Store) -> None:
    sessions = [row(SessionRow, name=name, seen_at=at) for name, at in (("Ana", 1), ("Ana", 5), ("Bo", 9))]
    async with store.write() as tx:
        for session in sessions:
            await tx.people.put_session(session)
        assert await tx.people.session(sessions[0].token_hash) == sessions[0]
        await tx.people.touch(sessions[0].token_hash, 7)
        assert await tx.people.expire_sessions(7) == 1
        assert await tx.people.session(sessions[1].token_hash) is None
        await tx.people.delete_sessions_of("Ana")
        assert await tx.people.session(sessions[0].token_hash) is None
        await tx.people.delete_session(sessions[2].token_hash)
        assert await tx.people.session(sessions[2].token_hash) is None


async def test_the_audit_is_read_newest_first(store: Store) -> None:
    async with store.write() as tx:
        for number in (1, 2, 3):
            await tx.audit.add(number, "Ana", "alert sent", f"ref {number}")
        assert await tx.audit.recent(2) == [
            AuditRow(3, "Ana", "alert sent", "ref 3"),
            AuditRow(2, "Ana", "alert sent", "ref 2"),
        ]


async def test_quarantine_keeps_reasons_newest_first_and_no_more_than_it_may(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a hostile peer could fill the disk with refusals."""
    monkeypatch.setattr(records, "QUARANTINE_ROWS", 3)
    rows = [row(QuarantineRow) for _ in range(5)]
    async with store.write() as tx:
        await tx.quarantine.add([])
        await tx.quarantine.add(rows[:2])
        assert await tx.quarantine.recent(10) == [rows[1], rows[0]]
        await tx.quarantine.add(rows[2:])
        assert await tx.quarantine.count() == 3
        assert await tx.quarantine.recent(2) == [rows[4], rows[3]]


async def test_small_facts_are_kept_by_name(store: Store) -> None:
    async with store.write() as tx:
        assert await tx.meta.get("log-epoch") is None
        await tx.meta.set("log-epoch", b"1")
        await tx.meta.set("log-epoch", b"2")
        assert await tx.meta.get("log-epoch") == b"2"
        await tx.meta.delete("log-epoch")
        assert await tx.meta.get("log-epoch") is None
