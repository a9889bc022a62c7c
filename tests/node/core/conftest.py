"""Nodes without sockets for tests of circles, peers, keys and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from almenara.node import groups
from tests.support.mesh import Mesh, meshed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """An empty network; its nodes stop when the test ends."""
    async for each in meshed(tmp_path):
        yield each


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the test holds the line itself, `accept` would wait in vain."""
    monkeypatch.setattr(groups, "KEY_SECONDS", 0.0)
