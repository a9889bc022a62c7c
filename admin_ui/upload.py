"""Forms with a file: the small fields come first and are read, then the file goes on to the node as it comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader
from multidict import MultiDict, MultiDictProxy

from almenara.node.api.guards import BODY_SECONDS
from almenara.node.api.uploads import pieces
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import MultipartReader, web

    from almenara.admin_ui.visit import Form

FORM = "multipart/form-data"
MAX_FIELDS = 8  # before the file; no form of the panel has more than three
FIELD_BYTES = 4096  # of one such field
PIECE = 256 * 1024  # bytes of the file taken at a time


@asynccontextmanager
async def uploaded(request: web.Request) -> AsyncIterator[tuple[Form, AsyncIterator[bytes]]]:
    """Give the fields before the file, and the pieces of the file; nothing where the body is no such form.

    Raises `Problem(MALFORMED)` for a form that is broken, or has more or larger fields than ours.
    """
    fields: MultiDict[str] = MultiDict()
    file: BodyPartReader | None = None
    if request.content_type == FORM:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                file = await _fields(await request.multipart(), fields)
        except (ValueError, LookupError, TimeoutError, AssertionError, ConnectionError):
            raise Problem(Kind.MALFORMED) from None
    async with pieces(_content(file)) as data:
        yield MultiDictProxy(fields), data


async def _fields(reader: MultipartReader, fields: MultiDict[str]) -> BodyPartReader | None:
    """Read up to the first part that is a file."""
    for _ in range(MAX_FIELDS + 1):
        part = await reader.next()
        if part is None:
            return None
        if not isinstance(part, BodyPartReader) or part.name is None:
            break
        if part.filename is not None:
            return part
        fields.add(part.name, await _text(part))
    raise Problem(Kind.MALFORMED)


async def _text(part: BodyPartReader) -> str:
    found = bytearray()
    while piece := await part.read_chunk(FIELD_BYTES):
        found += piece
        if len(found) > FIELD_BYTES:
            raise Problem(Kind.MALFORMED)
    return found.decode()


async def _content(part: BodyPartReader | None) -> AsyncIterator[bytes]:
    """The file; a form that is cut inside it gives what came."""
    while part is not None:
        try:
            piece = await part.read_chunk(PIECE)
        except (ValueError, AssertionError):
            return
        if not piece:
            return
        yield bytes(piece)
