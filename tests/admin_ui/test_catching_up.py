"""What was missed and is on its way: a bar with words, on Today and on the page of the organisation it comes from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from almenara.crypto.identity import RootKeys
from almenara.node import models
from almenara.node.service import Service

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRESS = models.CatchingUp(expected=1_200, received=300)
PEER = models.Peer(
    node_id=RootKeys.generate().node_id.text,
    name="Faro Sur",
    state="verified",
    connected=True,
    backlog=5,
    catching_up=PROGRESS,
)


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair is under way with one organisation."""
    status = Service.status

    async def told(self: Service, actor: Any) -> models.Status:
        return (await status(self, actor)).model_copy(update={"catching_up": PROGRESS})

    async def one(*_: Any) -> models.Peer:
        return PEER

    monkeypatch.setattr(Service, "status", told)
    monkeypatch.setattr(Service, "peer", one)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("path", ["/", f"/network/peers/{PEER.node_id}"], ids=["today", "peer"])
async def test_the_bar_has_its_numbers_and_words(panel: Panel, path: str) -> None:
    visitor = await panel.person("admin")
    status, text, _ = await visitor.get(path)
    assert status == 200
    assert re.search(r'<progress aria-labelledby="catching-up" max="1200" value="300">', text)
    words = re.search(r'<p id="catching-up">(.*?)</p>', text)
    assert words
    assert re.sub(r"<[^>]+>", "", words[1]).endswith("300 of 1,200 messages.")


@pytest.mark.usefixtures("behind")
async def test_what_is_still_to_go_to_them_is_counted(panel: Panel) -> None:
    visitor = await panel.person("admin")
    _, text, _ = await visitor.get(f"/network/peers/{PEER.node_id}")
    assert re.search(r"Still to send to them</dt><dd>.*5.*messages that they missed", text)


async def test_without_a_repair_there_is_no_bar(panel: Panel) -> None:
    visitor = await panel.person("admin")
    assert "<progress" not in (await visitor.get("/"))[1]
