"""How long a send takes, from the person's yes until the recipient's acknowledgement is on record."""

from __future__ import annotations

import asyncio
import math
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from almenara.node.service import LOCAL
from almenara.protocol.session import Outcome
from tests.bench.sender import direct_circle
from tests.bench.table import Figure

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.node.models import Preview
    from almenara.node.service import Service

P99_BAR_MS = 100.0  # at 10 alerts a second, on an idle machine
BARRED_RATE = 10
PATIENCE_S = 60
CASE = {
    "title": "Persona Ficticia Uno, third summons", "narrative": "A plainly invented case.",
    "persons": [{"name": "Persona Ficticia Uno", "phone": "+57 300 000 0000"}],
    "threats": ["legal.warrant-summons", "intimidation.threat"], "phase": "ongoing", "severity": "Severe",
    "urgency": "Immediate", "certainty": "Observed", "target_unit": "individual", "role": "community-leader",
    "issue": "land-environment-climate", "place": {"country": "CO", "admin1": "CO-CAU"},
    "occurred_at": "2026-11-20T14:37-05:00", "consent": {"state": "share-network", "basis": "self"},
}  # fmt: skip


class Watch:
    """Tells for each envelope of ours when its send began and when its acknowledgement was on record."""

    def __init__(self, service: Service) -> None:
        runtime = service._runtime
        assert runtime is not None
        self.took: list[float] = []
        self._begun: ContextVar[float] = ContextVar("begun")
        self._open: dict[bytes, float] = {}
        deliveries: Any = runtime.sharing._deliveries
        self._watch, self._acknowledged = deliveries.watch, deliveries.acknowledged
        deliveries.watch, deliveries.acknowledged = self._on_sent, self._on_acknowledged

    def begin(self) -> None:
        """The send that this task does next begins now."""
        self._begun.set(time.perf_counter())

    def _on_sent(self, envelope_id: bytes, recipients: list[NodeId]) -> None:
        self._open[envelope_id] = self._begun.get()
        self._watch(envelope_id, recipients)

    async def _on_acknowledged(self, peer: NodeId, outcomes: list[tuple[bytes, Outcome]]) -> None:
        await self._acknowledged(peer, outcomes)
        now = time.perf_counter()
        for envelope_id, outcome in outcomes:
            if outcome is Outcome.STORED and envelope_id in self._open:
                self.took.append(now - self._open.pop(envelope_id))

    async def settled(self, count: int) -> list[float]:
        """Wait for so many acknowledgements; returns and forgets how long each took, in seconds."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.took) < count:  # noqa: ASYNC110 - the other node answers
                await asyncio.sleep(0.01)
        took, self.took = self.took, []
        return took


async def latency(service: Service, watch: Watch, peer: str, per_second: int, seconds: int) -> list[Figure]:
    """Send at a steady rate, each alert from a case of its own, all previewed before the first one leaves."""
    circle = await direct_circle(service, peer)
    assert circle is not None
    previews = [await _preview(service, circle) for _ in range(per_second * seconds)]
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as sends:
        for number, shown in enumerate(previews):
            await asyncio.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
            sends.create_task(_send(service, watch, shown))
    took = sorted(await watch.settled(len(previews)))
    name = f"send to durable acknowledgement at {per_second}/s"
    bar = P99_BAR_MS if per_second == BARRED_RATE else None
    return [
        Figure(f"{name}, p50", 1e3 * _quantile(took, 0.5), ".1f", "ms"),
        Figure(f"{name}, p99", 1e3 * _quantile(took, 0.99), ".1f", "ms", bar, "below"),
    ]


async def _preview(service: Service, circle: str) -> Preview:
    record = await service.save_case(LOCAL, CASE)
    return await service.preview(LOCAL, record.case_id, circle)


async def _send(service: Service, watch: Watch, shown: Preview) -> None:
    watch.begin()
    await service.send(LOCAL, shown.case_id, shown.circle_id, body_sha256=shown.body_sha256, statement=shown.statement)


def _quantile(rising: list[float], share: float) -> float:
    return rising[min(len(rising) - 1, math.ceil(share * len(rising)) - 1)]
