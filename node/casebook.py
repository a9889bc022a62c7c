"""Our cases: kept whatever state they are in, checked against SCHEMAS §2, known to the gate once written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

from almenara.node import models
from almenara.node.cases.reading import Gazetteer, read_case
from almenara.node.cases.secrets import local_texts
from almenara.node.clock import Clock, rfc3339
from almenara.node.minimise.gate import Gate, Secret
from almenara.node.problem import Kind, Problem
from almenara.node.storage.rows import CaseRow, SentRow
from almenara.node.words import N_

if TYPE_CHECKING:
    from almenara.node.cases.case import Case
    from almenara.node.events import Events
    from almenara.node.storage.engine import Store, Transaction

PAGE = 500  # cases read at a time when the gate learns them at start

CaseState = Literal["draft", "ready", "closed"]


class Casebook:
    """Reads and writes cases; nothing in here leaves."""

    def __init__(self, store: Store, clock: Clock, events: Events, places: Gazetteer, gate: Gate) -> None:
        self._store, self._clock, self._events = store, clock, events
        self._places, self._gate = places, gate

    async def load(self) -> None:
        """Teach the gate everything that our own case file knows."""
        async with self._store.read() as tx:
            for row in await tx.cases.all():
                self._teach(row.case_id, row.document)

    async def save(self, document: object, case_id: str | None = None) -> models.CaseRecord:
        """Keep any JSON object: `ready`, or a `draft` with its problems. Raises `Problem(MALFORMED)` for the rest."""
        now = self._clock()
        reading = read_case(document, places=self._places, now_ms=now)
        raw = parse_id(case_id) if case_id else uuid4().bytes
        async with self._store.write() as tx:
            old = await tx.cases.get(raw)
            if case_id and old is None:
                raise Problem(Kind.NOT_FOUND, field="case_id")
            if old is not None and old.state == "closed":
                raise Problem(Kind.NOT_READY, N_("This case is closed."), case_id=id_text(raw))
            row = CaseRow(
                case_id=raw,
                state=reading.state,
                document=reading.document,
                problems=[problem.as_json() for problem in reading.problems],
                warnings=list(reading.warnings),
                created_at=old.created_at if old else now,
                updated_at=now,
            )
            await tx.cases.put(row)
            sent = await tx.cases.sent(raw)
        self._teach(raw, reading.document)
        self._events.publish("cases", id_text(raw))
        return _record(row, sent)

    async def list(self, state: str | None = None) -> models.Cases:
        """Newest first."""
        async with self._store.read() as tx:
            rows = await tx.cases.all(state)
            sent = await tx.cases.sent_all()
        counts: dict[bytes, int] = {}
        for row in sent:
            counts[row.case_id] = counts.get(row.case_id, 0) + 1
        newest = sorted(rows, key=lambda row: row.updated_at, reverse=True)
        return models.Cases(cases=[_summary(row, counts.get(row.case_id, 0)) for row in newest])

    async def get(self, case_id: str) -> models.CaseRecord:
        """Raises `Problem(NOT_FOUND)`."""
        async with self._store.read() as tx:
            row = await self._row(tx, case_id)
            return _record(row, await tx.cases.sent(row.case_id))

    async def close(self, case_id: str) -> models.CaseRecord:
        """A closed case stays, but is not sent or changed any more."""
        async with self._store.write() as tx:
            row = await self._row(tx, case_id)
            await tx.cases.set_state(row.case_id, "closed")
        self._events.publish("cases", case_id)
        return await self.get(case_id)

    async def ready(self, tx: Transaction, case_id: str) -> tuple[bytes, Case]:
        """The case, if it may be previewed or sent. Raises `Problem`: NOT_FOUND, NOT_READY, or a draft's first one."""
        row = await self._row(tx, case_id)
        if row.state == "closed":
            raise Problem(Kind.NOT_READY, N_("This case is closed."), case_id=id_text(row.case_id))
        reading = read_case(row.document, places=self._places, now_ms=self._clock())
        if reading.case is None:
            first = reading.problems[0]
            raise Problem(
                first.kind,
                first.detail or N_("This case is still a draft."),
                field=first.field,
                expected=first.expected,
                got=first.got,
                next=first.next or N_("Complete the case, then send it."),
                case_id=id_text(row.case_id),
            )
        return row.case_id, reading.case

    @staticmethod
    async def _row(tx: Transaction, case_id: str) -> CaseRow:
        row = await tx.cases.get(parse_id(case_id))
        if row is None:
            raise Problem(Kind.NOT_FOUND, field="case_id")
        return row

    def _teach(self, case_id: bytes, document: dict[str, Any]) -> None:
        name = id_text(case_id)
        self._gate.forget(name)
        self._gate.learn(Secret(field, name, text) for field, text in local_texts(document))


def parse_id(text: str) -> bytes:
    """A case, alert or circle id from its UUID text. Raises `Problem(NOT_FOUND)`: such an id exists nowhere."""
    try:
        return UUID(text).bytes
    except ValueError:
        raise Problem(Kind.NOT_FOUND, expected="an id", got=f"text of {len(text)} characters") from None


def id_text(raw: bytes) -> str:
    """The UUID text of 16 bytes."""
    return str(UUID(bytes=raw))


def _state(row: CaseRow) -> CaseState:
    match row.state:
        case "ready" | "closed":
            return row.state
        case _:
            return "draft"


def _record(row: CaseRow, sent: list[SentRow]) -> models.CaseRecord:
    return models.CaseRecord(
        case_id=id_text(row.case_id),
        state=_state(row),
        case=row.document,
        problems=row.problems,
        warnings=row.warnings,
        sent=[models.SentTo(circle_id=id_text(s.circle_id), alert_id=id_text(s.alert_id)) for s in sent],
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
    )


def _summary(row: CaseRow, sent: int) -> models.CaseSummary:
    title = row.document.get("title")
    return models.CaseSummary(
        case_id=id_text(row.case_id),
        state=_state(row),
        title=title if isinstance(title, str) else "",
        updated_at=rfc3339(row.updated_at),
        sent=sent,
    )
