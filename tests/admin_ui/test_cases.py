"""Cases through the panel: saved by themselves, never twice, never lost, and shown without harm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from almenara.node.service import LOCAL

if TYPE_CHECKING:
    from tests.admin_ui.conftest import Panel, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
COMPLETE = {
    "title": "Visit by inspectors",
    "threats": "admin.inspection-burden",
    "phase": "ongoing",
    "severity": "Minor",
    "urgency": "Future",
    "certainty": "Observed",
    "target_unit": "organisation",
    "place.country": "KE",
    "consent.state": "not-asked",
}


async def form_key(visitor: Visitor) -> str:
    """Open a new form."""
    _, text, _ = await visitor.get("/cases/new")
    found = re.search(r'name="form_key" value="([^"]+)"', text)
    assert found is not None
    return found[1]


async def saved(panel: Panel) -> list[Any]:
    return [case for case in (await panel.service.cases(LOCAL)).cases if case.case_id not in panel.known]


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def only_new_cases(panel: Panel) -> None:
    """Each test looks at the cases that it made itself."""
    panel.known = {case.case_id for case in (await panel.service.cases(LOCAL)).cases}


async def test_saves_of_one_new_form_make_one_case(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    key = await form_key(visitor)
    for title in ("V", "Visi", "Visit"):
        status, text, _ = await visitor.post("/cases/draft", {"form_key": key, "title": title}, HX_Request="true")
        assert status == 200
        assert "Saved here" in text
    for _ in range(2):
        status, _, _ = await visitor.post("/cases/new", {"form_key": key, **COMPLETE})
        assert status == 303
    (case,) = await saved(panel)
    assert (case.title, case.state) == ("Visit by inspectors", "ready")


async def test_two_new_forms_make_two_cases(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    for _ in range(2):
        await visitor.post("/cases/new", {"form_key": await form_key(visitor), **COMPLETE})
    assert len(await saved(panel)) == 2


async def test_an_incomplete_case_is_kept_and_each_problem_is_tied_to_its_field(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    key = await form_key(visitor)
    fields = {**COMPLETE, "form_key": key, "severity": "", "place.lat": "north"}
    status, text, _ = await visitor.post("/cases/new", fields)
    assert status == 422
    assert '<a href="#f-severity">How severe?</a>' in text
    assert 'id="f-severity-problem"' in text
    assert 'aria-describedby="f-severity-help f-severity-problem"' in text
    assert 'value="north"' in text
    (case,) = await saved(panel)
    assert case.state == "draft"


async def test_every_problem_leads_to_a_control_that_is_there(panel: Panel) -> None:
    """A part that is missing whole is shown at its first control."""
    visitor = await panel.person("case worker")
    _, text, _ = await visitor.post("/cases/new", {"form_key": await form_key(visitor), "title": "T"})
    links = re.findall(r'<li><a href="#([^"]+)">', text)
    assert {"f-place.country", "f-consent.state", "f-threats"} <= set(links)
    for link in links:
        assert text.count(f'id="{link}"') == 1, link
        assert f'id="{link}-problem"' in text, link


async def test_a_session_that_ended_loses_nothing_that_stands_in_the_form(panel: Panel) -> None:
    """The page stays as it is and says how to go on; after signing in again it saves."""
    visitor = await panel.person("case worker")
    key, old_token = await form_key(visitor), visitor.token
    await visitor.post("/sign-out")
    status, text, _ = await visitor.post("/cases/draft", {"form_key": key, "title": "V"}, HX_Request="true")
    assert status == 200
    assert "What you wrote is still here." in text
    await visitor.sign_in("case worker")
    fields = {"form_key": key, "title": "V", "csrf": old_token}
    status, text, _ = await visitor.post("/cases/draft", fields, HX_Request="true")
    assert "It is in order again" in text
    assert 'hx-swap-oob="true"' in text
    _, text, _ = await visitor.post("/cases/draft", {"form_key": key, "title": "V"}, HX_Request="true")
    assert "Saved here" in text


async def test_adding_a_person_works_without_scripts(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    key = await form_key(visitor)
    status, text, _ = await visitor.post("/cases/new", {"form_key": key, **COMPLETE, "add": "persons"})
    assert status == 200
    assert 'name="persons.0.name"' in text
    case_id = (await saved(panel))[0].case_id
    fields = {**COMPLETE, "persons.0.name": "María", "add": "persons"}
    _, text, _ = await visitor.post(f"/cases/{case_id}/edit", fields)
    assert 'name="persons.1.name"' in text
    assert 'value="María"' in text


@pytest.mark.parametrize("state", ["draft", "ready"])
async def test_hostile_text_in_every_field_is_shown_as_text(panel: Panel, state: str) -> None:
    document: dict[str, Any] = {
        "title": HOSTILE,
        "narrative": HOSTILE,
        "persons": [{"name": HOSTILE, "aliases": [HOSTILE], "phone": HOSTILE, "address": HOSTILE}],
        "organisations": [HOSTILE],
        "evidence": [{"label": HOSTILE}],
        "source": {"name": HOSTILE},
        "consent": {"state": "not-asked", "informed": HOSTILE},
    }
    if state == "draft":
        document |= {"threats": HOSTILE, "severity": [HOSTILE], "occurred_at": HOSTILE, HOSTILE: HOSTILE}
    else:
        document |= {
            "threats": ["legal.charges"],
            "phase": "ongoing",
            "severity": "Minor",
            "urgency": "Past",
            "certainty": "Likely",
            "target_unit": "individual",
            "place": {"country": "KE", "locality": HOSTILE},
        }
    record = await panel.service.save_case(LOCAL, document)
    assert record.state == state
    visitor = await panel.person("admin")
    for path in ("", "/edit", "/send", "/sent"):
        status, text, _ = await visitor.get(f"/cases/{record.case_id}{path}")
        assert status == 200
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "49" not in re.findall(r"<title>.*?</title>", text)[0]
    for path in ("/", "/cases"):
        _, text, _ = await visitor.get(path)
        assert "<script>alert" not in text


async def test_a_case_without_consent_cannot_be_sent_and_the_page_says_why(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    await visitor.post("/cases/new", {"form_key": await form_key(visitor), **COMPLETE})
    case_id = (await saved(panel))[0].case_id
    _, text, _ = await visitor.get(f"/cases/{case_id}/send")
    assert re.search(r"<button[^>]* disabled[^>]*aria-describedby=\"why-not\"", text)
    assert "This node is in no circle yet." in text


async def test_nothing_confidential_stands_in_titles_or_addresses(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    status, _, headers = await visitor.post("/cases/new", {"form_key": await form_key(visitor), **COMPLETE})
    assert status == 303
    assert re.fullmatch(r"/cases/[0-9a-f-]{36}\?done=case-saved", headers["Location"])
    _, text, _ = await visitor.get(headers["Location"])
    assert re.findall(r"<title>(.*?)</title>", text) == ["Case · almenara"]


async def test_a_closed_case_is_read_but_not_changed(panel: Panel) -> None:
    visitor = await panel.person("case worker")
    await visitor.post("/cases/new", {"form_key": await form_key(visitor), **COMPLETE})
    case_id = (await saved(panel))[0].case_id
    status, _, headers = await visitor.post(f"/cases/{case_id}/close")
    assert (status, headers["Location"]) == (303, f"/cases/{case_id}?done=case-closed")
    status, text, _ = await visitor.post(f"/cases/{case_id}/edit", COMPLETE)
    assert status == 409
    assert "This case is closed." in text
