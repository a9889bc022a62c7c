"""What the integration tests share: nodes are dear (Argon2id), so a module opens its own once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = frozenset(
    {"batch-failed", "batch-not-stored", "task-died", "session-failed", "link-handler-failed", "internal"}
)


@pytest.fixture(autouse=True)
def no_fault_of_ours() -> Iterator[None]:
    """Whatever a test does to a node in this process, the node raises nothing but its own typed errors."""
    with capture_logs() as told:
        yield
    assert [event for event in told if event["event"] in FAULTS] == []
