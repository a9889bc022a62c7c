"""Looking for neighbours, on the panel: what it shows to others is said before, and what goes on while it does."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

import pytest

from almenara.node.transport.mdns import Interface

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_admin_reads_what_is_shown_then_looks_and_stops(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes on the air here: that is tested where it is done."""
    discovery = panel.service._open.discovery
    monkeypatch.setattr(discovery, "_hour", asyncio.sleep)
    monkeypatch.setattr(discovery, "_interfaces", lambda: [Interface("test0", ipaddress.IPv4Interface("127.0.0.1/8"))])
    admin, worker = await panel.person("admin"), await panel.person("case worker")
    _, page, _ = await admin.get("/network")
    assert "can see that a computer with an almenara node is here" in page
    assert "test0" in page
    _, page, _ = await worker.get("/network")
    assert "/network/discovery" not in page

    assert (await worker.post("/network/discovery"))[0] == 403
    assert not discovery.state().on
    status, _, headers = await admin.post("/network/discovery")
    assert (status, headers["Location"]) == (303, "/network?done=discovery-on")
    for visitor in (admin, worker):
        _, page, _ = await visitor.get("/network")
        assert "This node looks for neighbours" in page
        assert "not whose" in page
    assert (await admin.post("/network/discovery/stop"))[0] == 303
    _, page, _ = await admin.get("/network")
    assert "Stop now" not in page
