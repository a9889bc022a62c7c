"""The page of bundles: against a real node, as a browser without scripts would use it."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from almenara.admin_ui.upload import FIELD_BYTES
from tests.support.sticks import made

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSPHRASE = "seven plain words for a stick"
PAGE = "/network/bundles"


async def upload(
    visitor: Visitor, data: bytes, fields: dict[str, str] | None = None, **headers: str
) -> tuple[int, str, Any]:
    """Send the form with a file, as a browser writes it: the fields in their order, the file last."""
    form = aiohttp.FormData()
    for name, value in {"csrf": visitor.token, **(fields or {})}.items():
        form.add_field(name, value)
    form.add_field("file", io.BytesIO(data), filename="some name.almb", content_type="application/octet-stream")
    return await visitor._send("POST", f"{PAGE}/import", form, {"Origin": visitor.url, **headers})


async def test_a_file_is_made_and_taken_in(panel: Panel) -> None:
    visitor = await panel.person("admin")
    status, text, _ = await visitor.get(PAGE)
    assert status == 200
    assert 'enctype="multipart/form-data"' in text
    fields = {"csrf": visitor.token, "passphrase": PASSPHRASE, "passphrase_again": PASSPHRASE}
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with visitor.http.post(
        f"{visitor.url}{PAGE}/export", data=fields, headers={"Origin": visitor.url, "Cookie": cookies}
    ) as answer:
        data = await answer.read()
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == 'attachment; filename="bundle.almb"'
        assert answer.headers["Cache-Control"] == "no-store"
    assert data[:6] == b"ALMB\1\2"
    status, text, _ = await upload(visitor, data, {"file_passphrase": PASSPHRASE})
    assert status == 200
    assert "The whole file was taken in." in text
    assert re.search(r"New here</dt><dd><bdi[^>]*>0</bdi>", text)


async def test_a_cut_file_says_so_and_what_to_do(panel: Panel) -> None:
    visitor = await panel.person("admin")
    data = await made(panel.service, passphrase=PASSPHRASE)
    status, text, _ = await upload(visitor, data[: len(data) // 2], {"file_passphrase": PASSPHRASE})
    assert status == 400
    assert "The file ends too early." in text
    assert "Ask who gave it to you for another copy." in text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "This is not a bundle."),
        (b"no bundle at all", "This is not a bundle."),
        (b"ALMB\2\1" + bytes(4000), "A later version of almenara made this file."),
        (b"ALMB\1\1" + bytes(4000), "This file is sealed for another organisation, or its beginning is damaged."),
        (b"ALMB\1\2" + bytes(4000), "This file needs the passphrase under which it was made."),
    ],
)
async def test_what_cannot_be_read_is_refused_in_words_beside_the_field(panel: Panel, data: bytes, words: str) -> None:
    visitor = await panel.person("admin")
    status, text, _ = await upload(visitor, data, {"file_passphrase": ""})
    assert status in {400, 403}
    assert words in unescape(text)
    assert 'aria-invalid="true"' in text


async def test_a_wrong_passphrase_on_a_large_file_still_gets_its_answer(panel: Panel) -> None:
    """The browser shows the page only when its file is off its hands: the rest is read and dropped."""
    visitor = await panel.person("admin")
    data = await made(panel.service, passphrase=PASSPHRASE) + bytes(24 * 2**20)
    status, text, _ = await upload(visitor, data, {"file_passphrase": "seven plain words for a stock"})
    assert status == 403
    assert "The passphrase does not open this file" in text


async def test_passphrases_must_be_typed_twice_and_be_long(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for first, second, words in (
        (PASSPHRASE, PASSPHRASE[:-1], "The two passphrases are not the same."),
        ("2qw", "2qw", "The passphrase is too short."),
    ):
        status, text, _ = await visitor.post(f"{PAGE}/export", {"passphrase": first, "passphrase_again": second})
        assert status == 422
        assert words in text
        assert first not in text


async def test_a_file_without_the_form_token_or_from_elsewhere_is_not_read(panel: Panel) -> None:
    visitor = await panel.person("admin")
    data = await made(panel.service, passphrase=PASSPHRASE)
    assert (await upload(visitor, data, {"csrf": "A" * 43}))[0] == 403
    assert (await upload(visitor, data, Origin="http://evil.example"))[0] == 403
    await visitor.get("/")
    late = aiohttp.FormData()
    late.add_field("file", io.BytesIO(data), filename="x")
    late.add_field("csrf", visitor.token)
    status, _, _ = await visitor._send("POST", f"{PAGE}/import", late, {"Origin": visitor.url})
    assert status == 403


@pytest.mark.parametrize(
    "fields", [{"file_passphrase": "x" * (FIELD_BYTES + 1)}, {f"field {number}": "x" for number in range(9)}]
)
async def test_a_form_that_is_not_ours_is_refused(panel: Panel, fields: dict[str, str]) -> None:
    visitor = await panel.person("admin")
    assert (await upload(visitor, b"ALMB", fields))[0] == 400


async def test_a_broken_form_is_refused(panel: Panel) -> None:
    visitor = await panel.person("admin")
    for body in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=csrf\r\n\r\nabc", b"nothing"):
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        headers = {"Origin": visitor.url, "Cookie": cookies, "Content-Type": "multipart/form-data; boundary=x"}
        async with visitor.http.post(f"{visitor.url}{PAGE}/import", data=body, headers=headers) as answer:
            assert answer.status in {400, 403}


async def test_a_form_that_is_cut_inside_the_file_gives_what_came(panel: Panel) -> None:
    visitor = await panel.person("admin")
    data = await made(panel.service, passphrase=PASSPHRASE)
    fields = {"csrf": visitor.token, "file_passphrase": PASSPHRASE}
    form = "".join(f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items())
    file = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    headers = {"Origin": visitor.url, "Cookie": cookies, "Content-Type": "multipart/form-data; boundary=x"}
    body = (form + file).encode() + data[:1000]
    async with visitor.http.post(f"{visitor.url}{PAGE}/import", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert "The file ends too early." in await answer.text()


async def test_only_an_admin_sees_it(panel: Panel) -> None:
    for role in ("case worker", "viewer"):
        visitor = await panel.person(role)  # type: ignore[arg-type] # a role of the table
        assert (await visitor.get(PAGE))[0] == 403
        assert (await upload(visitor, b"ALMB"))[0] == 403
        assert f'href="{PAGE}"' not in (await visitor.get("/network"))[1]
    admin = await panel.person("admin")
    assert f'href="{PAGE}"' in (await admin.get("/network"))[1]
