"""The inbox as people read it: newest first, page by page, nothing hidden, nothing run."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from almenara.crypto.identity import RootKeys
from almenara.node.clock import DAY_MS, now_ms
from almenara.node.service import LOCAL
from almenara.node.storage.rows import AlertRow
from almenara.protocol import codec
from almenara.protocol.alert import encode_view

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
VIEW: dict[str, Any] = {
    "schema": 1,
    "vocab": 1,
    "tier": 2,
    "status": "Actual",
    "threats": ["legal.charges"],
    "phase": "ongoing",
    "severity": "Severe",
    "urgency": "Immediate",
    "certainty": "Observed",
    "verification": "unverified",
    "permitted_actions": "none",
    "perpetrator": "unknown",
    "target_unit": "individual",
    "country": "CO",
    "when": "2026-W47",
}
AUTHOR = RootKeys.generate().node_id.raw
CIRCLE = uuid4().bytes


async def receive(panel: Panel, *bodies: bytes) -> list[str]:
    """Put alerts of another organisation into the node, as if they had arrived; give their ids."""
    now = now_ms()
    rows = [
        AlertRow(
            position=None,
            alert_id=uuid4().bytes,
            author=AUTHOR,
            circle_id=CIRCLE,
            statement_id=bytes(16),
            revision=1,
            type="Alert",
            tlp=3,
            state="current",
            created_at=now,
            received_at=now,
            expires_at=now + DAY_MS,
            body=body,
            body_sha256=sha256(body).digest(),
            own=False,
            case_id=None,
        )
        for body in bodies
    ]
    async with panel.service._open.store.write() as tx:
        await tx.alerts.insert(rows)
    return [str(UUID(bytes=row.alert_id)) for row in rows]


def listed(text: str) -> list[str]:
    """Ids of the alerts on a page, in order."""
    return re.findall(r'href="/alerts/([0-9a-f-]{36})"', text)


async def test_the_newest_come_first_and_older_ones_follow_page_by_page(panel: Panel) -> None:
    ids = await receive(panel, *[encode_view(VIEW)] * 250)
    visitor = await panel.person("viewer")
    found, address = [], "/inbox"
    while address:
        _, text, _ = await visitor.get(address)
        found += listed(text)
        older = re.search(r'href="(/inbox\?before=\d+)"', text)
        address = older[1] if older else ""
    assert found[:250] == ids[::-1]
    assert len((await panel.service.recent(LOCAL, None, 10)).alerts) == 10


async def test_text_a_peer_sent_is_shown_as_text(panel: Panel) -> None:
    """The protocol lets codes be codes; the text of a partner is whatever she wrote."""
    hostile = VIEW | {"tier": 1, "when": "2026-11-20", "language": "es", "text": HOSTILE}
    (alert_id,) = await receive(panel, encode_view(hostile))
    visitor = await panel.person("viewer")
    for path in ("/", "/inbox", f"/alerts/{alert_id}"):
        status, text, _ = await visitor.get(path)
        assert status == 200
        assert "<script>alert" not in text
        assert "<img" not in text


async def test_an_alert_of_a_newer_schema_is_kept_and_named_as_such(panel: Panel) -> None:
    (alert_id,) = await receive(panel, codec.encode([2, 9, "what nobody knows yet"]))
    visitor = await panel.person("viewer")
    _, text, _ = await visitor.get("/inbox")
    assert "Written in a newer version" in text
    status, text, _ = await visitor.get(f"/alerts/{alert_id}")
    assert status == 200
    assert "This alert is written in a newer version than this node understands." in text


async def test_an_exercise_never_stands_among_the_urgent_and_says_that_it_is_none(panel: Panel) -> None:
    (drill,) = await receive(panel, encode_view(VIEW | {"severity": "Extreme", "status": "Exercise"}))
    (real,) = await receive(panel, encode_view(VIEW | {"severity": "Extreme"}))
    visitor = await panel.person("viewer")
    _, text, _ = await visitor.get("/")
    assert real in listed(text)
    assert drill not in listed(text)
    _, text, _ = await visitor.get(f"/alerts/{drill}")
    assert "This is not real" in text


async def test_filters_narrow_and_an_empty_result_says_how_to_go_on(panel: Panel) -> None:
    (minor,) = await receive(panel, encode_view(VIEW | {"severity": "Minor"}))
    visitor = await panel.person("viewer")
    _, text, _ = await visitor.get("/inbox?severity=Minor")
    assert listed(text) == [minor]
    _, text, _ = await visitor.get("/inbox?severity=Moderate")
    assert "No alert fits these filters" in text


@pytest.mark.parametrize("cursor", ["abc", "-1", "9" * 30])
async def test_a_cursor_that_is_none_is_refused_with_a_page(panel: Panel, cursor: str) -> None:
    visitor = await panel.person("viewer")
    status, text, _ = await visitor.get(f"/inbox?before={cursor}")
    assert status == 400
    assert "This could not be read" in text
