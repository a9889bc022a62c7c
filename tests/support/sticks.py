"""Carrying bundles between the nodes of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.models import BundleAsked, BundleImported
from almenara.node.service import LOCAL, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE = 50_000  # bytes of a file that come at a time: no border of a chunk


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """A file as an upload brings it."""
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]


async def made(service: Service, *, to: str | None = None, passphrase: str | None = None) -> bytes:
    """The bytes of a new bundle."""
    with await service.export_bundle(LOCAL, BundleAsked(to=to, passphrase=passphrase)) as bundle:
        data = bundle.file.read()
    assert len(data) == bundle.bytes
    return data


async def taken(service: Service, data: bytes, passphrase: str | None = None) -> BundleImported:
    """What a node made of a file."""
    return await service.import_bundle(LOCAL, pieces(data), passphrase)


def counts(found: BundleImported) -> tuple[int, int, int, int]:
    """New, known, held, refused."""
    assert found.records == found.new + found.known + found.held + found.refused
    return found.new, found.known, found.held, found.refused
