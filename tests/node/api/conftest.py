"""A service that answers with fixed objects and remembers what it was asked, behind the real application."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from almenara.node import models
from almenara.node.api.app import build
from almenara.node.api.guards import LOOPBACK
from almenara.node.bundle_export import Bundle
from almenara.node.events import Events
from almenara.node.people import Actor, SignedIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

TOKEN = "local-token-of-this-start"
COOKIE = "cookie-of-a-case-worker"
WORKER = Actor("Amina", "case worker", "person")

BUNDLE = b"ALMB" + bytes(range(256)) * 4000  # more than is read from a finished file at a time

QUIET = models.Discovery(on=False, interfaces=[], announces=False, found=[], others=0)
_ANSWERS: dict[str, Any] = {
    "export_bundle": lambda: Bundle(BytesIO(BUNDLE), None, envelopes=7, left_out=2, bytes=len(BUNDLE)),
    "invite": models.InvitationMade(invitation="almenara:x", expires_at="2026-11-23T00:00:00.000Z"),
    "pair": models.Peer(node_id="n", name="beta", state="unconfirmed", code="1234 5678 9012"),
    "peers": models.Peers(peers=[]),
    "confirm_peer": models.PeerChanged(node_id="n", state="waiting"),
    "remove_peer": models.PeerChanged(node_id="n", state="removed"),
    "discovery": QUIET,
    "discover": QUIET,
    "stop_discovery": QUIET,
    "circles": models.Circles(circles=[]),
    "create_circle": models.Circle(
        circle_id="c", name="c-andes", tier="network", max_tlp="TLP:GREEN", retention_days=30, state="active"
    ),
    "invite_to_circle": models.MemberChanged(circle_id="c", node_id="n", state="invited"),
    "remove_from_circle": models.MemberChanged(circle_id="c", node_id="n", state="removed"),
    "accept_circle": models.CircleChanged(circle_id="c", state="active"),
    "leave_circle": models.CircleChanged(circle_id="c", state="left"),
    "carriers": models.CircleCarriers(circle_id="c", carriers=[]),
    "add_carrier": models.CircleCarriers(circle_id="c", carriers=[]),
    "remove_carrier": models.CircleCarriers(circle_id="c", carriers=[]),
    "carrying": models.Carrying(default_bytes=64_000_000, carrying=[]),
    "set_carry_quota": models.Carrying(default_bytes=64_000_000, carrying=[]),
    "cases": models.Cases(cases=[]),
    "case": models.CaseRecord(case_id="k", state="ready", case={}, created_at="", updated_at=""),
    "save_case": models.CaseRecord(case_id="k", state="ready", case={}, created_at="", updated_at=""),
    "preview": models.Preview(
        case_id="k", circle_id="c", circle="c-andes", tier="network", tlp="TLP:GREEN", view={}, body_base64="",
        body_sha256="0" * 64, statement="s", recipients=[], people_in_place=None, same_view=0, expires_at="",
        consent={},
    ),
    "send": models.AlertSent(alert_id="a", circle_id="c", body_sha256="0" * 64, recipients=2),
    "alert": models.AlertDetail(
        alert_id="a", circle_id="c", circle="c-andes", author=models.Author(node_id="n", name="alpha", verified=True),
        state="current", revision=1, tlp="TLP:GREEN", created_at="", received_at="", expires_at="", view={},
    ),
    "forks": models.Forks(forks=[]),
    "settle_forks": models.ForksSettled(settled=0),
    "clock": models.Clock(computer=""),
    "settle_clock": models.Clock(computer=""),
    "inbox": models.Inbox(alerts=[], next="7"),
    "add_person": models.Person(name="Amina", role="viewer", created_at=""),
    "import_bundle": models.BundleImported(records=0, new=0, known=0, held=0, refused=0, complete=True),
    "status": models.Status(state="ready", name="alpha", version="0", listen="", panel=""),
}  # fmt: skip


@dataclass
class FakeService:
    """Every method of the service that the API calls; `refuse` makes the next one raise."""

    asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=lambda: dict(_ANSWERS))
    refuse: Exception | None = None
    events: Events = field(default_factory=Events)
    config: Any = field(
        default_factory=lambda: SimpleNamespace(sharing=SimpleNamespace(tlp="TLP:GREEN", retention_days=30))
    )

    @property
    def last_event(self) -> int:
        return self.events.last

    async def wait_event(self, after: int, timeout: float) -> Any:  # noqa: ASYNC109 - as the service has it
        return await self.events.wait(after, timeout)

    async def session(self, token: str, *, touch: bool = True) -> SignedIn | None:  # noqa: ARG002 - as the service has it
        return SignedIn(token, "csrf", WORKER, 0) if token == COOKIE else None

    def __getattr__(self, name: str) -> Any:
        if name not in _ANSWERS:
            raise AttributeError(name)

        async def method(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((name, args, kwargs))
            if self.refuse is not None:
                raise self.refuse
            found = self.answers[name]
            return found() if callable(found) else found

        return method


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def app(service: FakeService) -> web.Application:
    return build(service, hosts=LOOPBACK, token=TOKEN)  # type: ignore[arg-type]


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A program on this machine; it has no credentials unless a test gives some."""
    async with TestClient(TestServer(app)) as found:
        yield found


@pytest.fixture
def local() -> dict[str, str]:
    """Headers of the command line."""
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def cookie(client: TestClient[web.Request, web.Application]) -> dict[str, str]:
    """Headers of a signed-in case worker's browser, without Origin."""
    return {"Cookie": f"almenara_session_{client.port}={COOKIE}"}
