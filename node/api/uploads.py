"""Bodies too large for memory: read as they come, within a time for each piece and a size for all (SCHEMAS §7)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web

from almenara.node.api.guards import BODY_SECONDS
from almenara.node.bundle_import import MAX_BYTES
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def pieces(source: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the pieces of a file; one that stops coming ends there, as if it had been cut.

    What nobody has read when the block ends is read and dropped, for a browser shows an answer only when its file is
    off its hands. Raises `Problem(TOO_LARGE)` beyond the largest bundle.
    """
    data = _within(source)
    try:
        yield data
    finally:
        try:
            async for _ in data:
                pass
        except Problem:
            pass


async def _within(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    try:
        while True:
            async with asyncio.timeout(BODY_SECONDS):
                part = await anext(source, b"")
            if not part:
                return
            size += len(part)
            if size > MAX_BYTES:
                raise Problem(Kind.TOO_LARGE, field="file", expected=f"at most {MAX_BYTES} bytes")
            yield part
    except (TimeoutError, ClientPayloadError, ConnectionError, web.RequestPayloadError):
        return
