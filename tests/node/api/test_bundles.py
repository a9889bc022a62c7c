"""Files over the API: out as they are, in as they come, never whole in memory and never for ever."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from almenara.node.api import uploads
from almenara.node.api.bundles import MEDIA_TYPE
from almenara.node.api.guards import MAX_BODY
from almenara.node.api.keys import API
from almenara.node.problem import Kind, Problem
from tests.node.api.conftest import BUNDLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXPORT, IMPORT = f"{API}/bundles/export", f"{API}/bundles/import"
FILE = {"Content-Type": MEDIA_TYPE}


@pytest.fixture
def read(service: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the service was given, read to its end."""
    found: dict[str, Any] = {}

    async def import_bundle(_actor: Any, data: AsyncIterator[bytes], passphrase: str | None) -> Any:
        try:
            found["pieces"] = [piece async for piece in data]
        except Problem as problem:
            found["problem"] = problem.kind
            raise
        found["passphrase"] = passphrase
        return service.answers["import_bundle"]

    monkeypatch.setattr(type(service), "import_bundle", staticmethod(import_bundle), raising=False)
    return found


async def test_a_bundle_comes_whole_with_its_figures(client: Any, local: Any) -> None:
    response = await client.post(EXPORT, json={"to": "n"}, headers=local)
    assert await response.read() == BUNDLE
    assert response.headers["Content-Length"] == str(len(BUNDLE))
    assert response.headers["Content-Disposition"] == 'attachment; filename="bundle.almb"'
    assert (response.headers["Almenara-Envelopes"], response.headers["Almenara-Left-Out"]) == ("7", "2")
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_file_larger_than_any_other_body_comes_in_pieces(client: Any, local: Any, read: dict[str, Any]) -> None:
    data = bytes(range(256)) * (2 * MAX_BODY // 256)
    passphrase = base64.b64encode("frase con eñe y 字".encode()).decode()
    headers = local | FILE | {"Almenara-Passphrase": passphrase}
    response = await client.post(IMPORT, data=BytesIO(data), headers=headers)
    assert response.status == 200
    assert b"".join(read["pieces"]) == data
    assert max(map(len, read["pieces"])) < MAX_BODY
    assert read["passphrase"] == "frase con eñe y 字"


async def test_a_passphrase_that_is_no_base64_is_refused(client: Any, local: Any, service: Any) -> None:
    response = await client.post(IMPORT, data=b"x", headers=local | FILE | {"Almenara-Passphrase": "ñ?"})
    assert response.status == 400
    assert not service.asked


async def test_another_type_is_refused_before_a_byte_is_read(client: Any, local: Any, service: Any) -> None:
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        response = await client.post(IMPORT, data=b"x", headers=local | {"Content-Type": kind})
        assert response.status == 400
    assert not service.asked


async def test_more_than_the_largest_bundle_is_refused(
    client: Any, local: Any, read: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 100_000)
    response = await client.post(IMPORT, data=bytes(100_001), headers=local | FILE)
    assert response.status == 413
    assert read["problem"] is Kind.TOO_LARGE


async def test_a_file_that_stops_coming_ends_there(
    client: Any, local: Any, read: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been cut: what came before is taken."""
    monkeypatch.setattr(uploads, "BODY_SECONDS", 0.2)
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"the beginning"
        await never.wait()

    response = await client.post(IMPORT, data=slow(), headers=local | FILE)
    assert response.status == 200
    assert read["pieces"] == [b"the beginning"]
