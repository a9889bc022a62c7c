"""Carriers in the panel: who carries for a circle, for whom this node carries, and what a person can change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from almenara.crypto.identity import RootKeys
from almenara.node.models import CircleNew
from almenara.node.service import LOCAL
from almenara.node.storage.rows import AskerRow
from tests.node.storage.samples import row

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE = RootKeys.generate().node_id
HOSTILE = '"><script>alert(1)</script>'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def circle(panel: Panel) -> str:
    """A circle, and a verified peer that has asked us to carry."""
    from almenara.node.storage.rows import PeerRow  # noqa: PLC0415 - only here

    runtime: Any = panel.service._open
    peer = row(PeerRow, node_id=NODE.raw, name=HOSTILE, state="verified", kind="organisation", country="", reason="")
    async with runtime.store.write() as tx:
        await tx.peers.put(peer)
        await tx.carrying.put_asker(AskerRow(NODE.raw, None, 0, 1_795_000_000_000))
    runtime.peers._circles.verified.add(NODE.raw)
    runtime.peers._circles.cards.called[NODE.raw] = HOSTILE
    return (await panel.service.create_circle(LOCAL, CircleNew(name="c-andes", tier="network"))).circle_id


async def test_a_carrier_is_asked_shown_and_asked_no_more(panel: Panel, circle: str) -> None:
    visitor = await panel.person("admin")
    path = f"/network/circles/{circle}"
    _, page, _ = await visitor.get(path)
    assert page.count(f'<option value="{NODE.text}">') == 2, "to invite, and to ask to carry"
    status, _, headers = await visitor.post(f"{path}/carriers", {"node_id": NODE.text})
    assert (status, headers["Location"]) == (303, f"{path}?done=carrier-asked")
    _, page, _ = await visitor.get(path)
    assert "It is asked, and given new keys, when its node is connected again." in page
    assert page.count(f'<option value="{NODE.text}">') == 1
    assert "<script>alert" not in page
    status, _, headers = await visitor.post(f"{path}/carriers", {"node_id": NODE.text, "stop": "true"})
    assert (status, headers["Location"]) == (303, f"{path}?done=carrier-stopped")
    assert (await panel.service.carriers(LOCAL, circle)).carriers == []


async def test_for_whom_we_carry_is_shown_limited_and_stopped(panel: Panel, circle: str) -> None:
    assert circle
    visitor = await panel.person("admin")
    _, page, _ = await visitor.get("/network")
    assert "Nobody here can read them." in page
    assert 'name="quota_mb" value="64"' in page
    assert "<script>alert" not in page
    status, _, headers = await visitor.post(f"/network/carrying/{NODE.text}", {"quota_mb": "200"})
    assert (status, headers["Location"]) == (303, "/network?done=quota-set")
    (one,) = (await panel.service.carrying(LOCAL)).carrying
    assert one.granted_bytes == 200_000_000
    status, _, headers = await visitor.post(f"/network/carrying/{NODE.text}", {"quota_mb": "0"})
    assert headers["Location"] == "/network?done=carrying-stopped"
    _, page, _ = await visitor.get("/network")
    assert "Stop carrying" not in page


@pytest.mark.parametrize("quota", ["", "-1", "4001", "9" * 30, "1.5", "x", "٣"])
async def test_a_quota_that_is_none_is_refused(panel: Panel, circle: str, quota: str) -> None:
    assert circle
    visitor = await panel.person("admin")
    before = await panel.service.carrying(LOCAL)
    status, _, _ = await visitor.post(f"/network/carrying/{NODE.text}", {"quota_mb": quota})
    assert status == 422
    assert await panel.service.carrying(LOCAL) == before


async def test_a_case_worker_sees_it_and_changes_nothing(panel: Panel, circle: str) -> None:
    visitor = await panel.person("case worker")
    _, page, _ = await visitor.get("/network")
    assert "Carried for others" in page
    assert "quota_mb" not in page
    for path in (f"/network/carrying/{NODE.text}", f"/network/circles/{circle}/carriers"):
        status, _, _ = await visitor.post(path, {"quota_mb": "5", "node_id": NODE.text})
        assert status == 403
