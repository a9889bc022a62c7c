"""Bundles: files for a stick, made and taken in as streams, for they may be larger than memory (DESIGN §6)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import ClientConnectionResetError, hdrs, web

from almenara.node import models
from almenara.node.api.route import Call, Query, Route
from almenara.node.api.uploads import pieces
from almenara.node.problem import Kind, Problem

if TYPE_CHECKING:
    from almenara.node.bundle_export import Bundle

MEDIA_TYPE = "application/octet-stream"
FILE_NAME = "bundle.almb"  # says neither from whom nor for whom nor when
PASSPHRASE_HEADER = "Almenara-Passphrase"  # noqa: S105 - the name of a header
ENVELOPES_HEADER, LEFT_OUT_HEADER = "Almenara-Envelopes", "Almenara-Left-Out"
_READ = 256 * 1024  # bytes read from the finished file at a time
_PASSPHRASE_MOST = 4096  # characters of the header


async def export(call: Call) -> web.StreamResponse:
    """Make a bundle and give it."""
    asked: models.BundleAsked = call.takes
    with await call.service.export_bundle(call.actor, asked) as bundle:
        return await download(call.request, bundle)


async def download(request: web.Request, bundle: Bundle) -> web.StreamResponse:
    """Give a finished file, with its figures in the headers."""
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: MEDIA_TYPE,
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{FILE_NAME}"',
            ENVELOPES_HEADER: str(bundle.envelopes),
            LEFT_OUT_HEADER: str(bundle.left_out),
        }
    )
    response.content_length = bundle.bytes
    # A reader that leaves is no error, and aiohttp would log it together with the reader's address.
    with suppress(ClientConnectionResetError, ConnectionResetError):
        await response.prepare(request)
        while part := await asyncio.to_thread(bundle.file.read, _READ):
            await response.write(part)
        await response.write_eof()
    return response


async def import_(call: Call) -> models.BundleImported:
    """Take in a bundle."""
    if call.request.content_type != MEDIA_TYPE:  # what another page's form cannot send without asking
        raise Problem(Kind.MALFORMED, field=hdrs.CONTENT_TYPE, expected=MEDIA_TYPE, got=call.request.content_type[:80])
    passphrase = _passphrase(call.request.headers.get(PASSPHRASE_HEADER))
    async with pieces(call.request.content.iter_any()) as data:
        return await call.service.import_bundle(call.actor, data, passphrase)


def _passphrase(given: str | None) -> str | None:
    """A header holds no more than ASCII, so it comes in base64. Raises `Problem(MALFORMED)`."""
    if given is None:
        return None
    try:
        return base64.b64decode(given[:_PASSPHRASE_MOST], validate=True).decode()
    except (binascii.Error, ValueError):
        raise Problem(Kind.MALFORMED, field=PASSPHRASE_HEADER, expected="base64") from None


ROUTES = (
    Route(
        method="POST",
        path="/bundles/export",
        handle=export,
        takes=models.BundleAsked,
        media_type=MEDIA_TYPE,
        summary=f"Make a bundle for one organisation or under a passphrase; {ENVELOPES_HEADER} says how many envelopes "
        f"are in it, {LEFT_OUT_HEADER} for how many the largest file had no room",
    ),
    Route(
        method="POST",
        path="/bundles/import",
        handle=import_,
        answers=models.BundleImported,
        streams=True,
        summary="Take in a bundle of at most 2 GiB; of a damaged one everything before the damage",
        headers=(
            Query(
                name=PASSPHRASE_HEADER,
                summary="Base64 of the passphrase in UTF-8, where the file needs one",
                schema={"type": "string", "maxLength": _PASSPHRASE_MOST},
            ),
        ),
    ),
)
