"""Red states that somebody can settle in the panel: shown with what they need, settled by a form, gone afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node.clock import DAY_MS
from almenara.node.storage.rows import ForkRow

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

RIGHT = "This computer&#39;s clock is right"


async def test_a_doubtful_clock_shows_both_times_and_whoever_may_send_settles_it(panel: Panel) -> None:
    viewer, worker = await panel.person("viewer"), await panel.person("case worker")
    runtime = panel.service._open
    runtime.clock._trusted -= 3 * DAY_MS
    for place in ("/", "/settings"):
        _, text, _ = await worker.get(place)
        assert "has jumped by more than a day" in text
        assert len(set(text.split("<time datetime=")[1:3])) == 2
        assert RIGHT in text
    _, text, _ = await viewer.get("/")
    assert "has jumped by more than a day" in text
    assert RIGHT not in text
    status, _, _ = await viewer.post("/clock")
    assert status == 403
    assert runtime.clock.doubt() is not None
    status, _, headers = await worker.post("/clock")
    assert (status, headers["Location"]) == (303, "/?done=clock-right")
    _, text, _ = await worker.get("/")
    assert "has jumped" not in text
    assert runtime.clock.doubt() is None


async def test_an_admin_says_that_both_versions_were_ours_and_nobody_else_does(panel: Panel) -> None:
    runtime = panel.service._open
    own = runtime.contradictions._circles.own.raw
    row = ForkRow(b"1" * 32, b"2" * 32, own, b"c" * 16, "seq", b"", 0, b"", runtime.clock(), None)
    async with runtime.store.write() as tx:
        await tx.forks.add(row)
    worker, admin = await panel.person("case worker"), await panel.person("admin")
    _, text, _ = await worker.get("/")
    assert "two different things in one place" in text
    assert "These were both ours" not in text
    status, _, _ = await worker.post("/forks")
    assert status == 403
    _, text, _ = await admin.get("/")
    assert "These were both ours" in text
    status, _, headers = await admin.post("/forks")
    assert (status, headers["Location"]) == (303, "/?done=forks-settled")
    _, text, _ = await admin.get("/")
    assert "two different things in one place" not in text
