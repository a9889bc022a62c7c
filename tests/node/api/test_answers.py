"""What the API answers: the objects of SCHEMAS §8, problems of RFC 9457, and nothing more."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
from typing import Any

import pytest
import structlog

from almenara.node.api import guards
from almenara.node.api.keys import API
from almenara.node.people import LOCAL
from almenara.node.problem import Kind, Problem

SEND = {"case_id": "k", "circle_id": "c", "body_sha256": "0" * 64, "statement": "s"}
CANARY = "Yolanda Quiroga"


@pytest.fixture
def headers(local: dict[str, str]) -> dict[str, str]:
    return local


async def test_status_without_credentials_tells_no_more_than_a_health_check(client: Any, service: Any) -> None:
    """The service is asked in nobody's name and answers accordingly."""
    response = await client.get(f"{API}/status")
    assert response.status == 200
    assert service.asked == [("status", (None,), {})]


async def test_status_with_the_token_is_asked_for_the_command_line(client: Any, service: Any, headers: Any) -> None:
    await client.get(f"{API}/status", headers=headers)
    assert service.asked == [("status", (LOCAL,), {})]


async def test_absent_members_are_left_out(client: Any, headers: Any) -> None:
    """SCHEMAS §1: the key is missing; null is never sent."""
    told = await (await client.post(f"{API}/peers", json={"invitation": "almenara:x"}, headers=headers)).text()
    assert "null" not in told


async def test_a_problem_is_answered_as_rfc_9457(client: Any, service: Any, headers: Any) -> None:
    service.refuse = Problem(Kind.CONSENT_MISSING, field="consent.state", expected="share-network", got="not-asked")
    response = await client.post(f"{API}/alerts", json=SEND, headers=headers)
    assert response.status == 409
    assert response.content_type == "application/problem+json"
    told = await response.json(content_type=None)
    assert told["type"] == "urn:almenara:problem:consent-missing"
    assert (told["status"], told["field"], told["got"]) == (409, "consent.state", "not-asked")


@pytest.mark.parametrize("kind", Kind)
async def test_every_kind_of_problem_has_its_status(kind: Kind, client: Any, service: Any, headers: Any) -> None:
    service.refuse = Problem(kind)
    response = await client.get(f"{API}/peers", headers=headers)
    told = await response.json(content_type=None)
    assert response.status == told["status"] == Problem(kind).status
    assert told["type"] == f"urn:almenara:problem:{kind}"


async def test_our_own_fault_shows_an_id_and_nothing_of_the_case(client: Any, service: Any, headers: Any) -> None:
    """The id stands in the log with the type of the error; its text, which may hold a case, stands nowhere."""
    service.refuse = ValueError(CANARY)
    with structlog.testing.capture_logs() as logs:
        response = await client.get(f"{API}/cases/k", headers=headers)
    told = await response.text()
    assert response.status == 500
    assert json.loads(told)["type"] == "urn:almenara:problem:internal"
    assert CANARY not in told
    assert [(one["event"], one["error"]) for one in logs] == [("internal", "ValueError")]
    assert logs[0]["id"] == json.loads(told)["id"]
    assert CANARY not in str(logs)


async def test_a_draft_is_refused_with_its_problems_and_its_id(client: Any, service: Any, headers: Any) -> None:
    problems = [Problem(Kind.UNKNOWN_FIELD, field="titel").as_json(), Problem(Kind.CONSENT_MISSING).as_json()]
    service.answers["save_case"] = service.answers["save_case"].model_copy(
        update={"state": "draft", "problems": problems}
    )
    response = await client.post(f"{API}/cases", json={"titel": "x"}, headers=headers)
    told = await response.json(content_type=None)
    assert response.status == 422
    assert response.content_type == "application/problem+json"
    assert (told["case_id"], told["field"], told["problems"]) == ("k", "titel", problems)


async def test_a_case_arrives_as_it_was_written(client: Any, service: Any, headers: Any) -> None:
    document = {"title": "قرية", "persons": [{"name": CANARY}], "place": {"lat": 2.4448}}
    await client.post(f"{API}/cases", json=document, headers=headers)
    assert service.asked == [("save_case", (LOCAL, document), {})]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}']
)
async def test_what_is_not_one_json_object_is_malformed(body: bytes, client: Any, service: Any, headers: Any) -> None:
    response = await client.post(f"{API}/cases", data=body, headers=headers | {"Content-Type": "application/json"})
    assert response.status == 400
    assert (await response.json(content_type=None))["type"] == "urn:almenara:problem:malformed"
    assert not service.asked


async def test_a_field_outside_the_schema_is_named(client: Any, service: Any, headers: Any) -> None:
    response = await client.post(f"{API}/circles", json={"name": "a", "tier": "network", "x": 1}, headers=headers)
    told = await response.json(content_type=None)
    assert (response.status, told["type"], told["field"]) == (422, "urn:almenara:problem:unknown-field", "x")
    assert not service.asked


async def test_an_unknown_code_is_named_with_what_is_known(client: Any, headers: Any) -> None:
    response = await client.post(f"{API}/circles", json={"name": "a", "tier": "everybody"}, headers=headers)
    told = await response.json(content_type=None)
    assert (told["type"], told["field"]) == ("urn:almenara:problem:unknown-code", "tier")
    assert "'partner', 'network' or 'international'" in told["expected"]


async def test_a_refused_password_is_never_repeated(client: Any, headers: Any) -> None:
    body = {"name": "Amina", "role": "viewer", "password": [CANARY]}
    response = await client.post(f"{API}/people", json=body, headers=headers)
    assert response.status == 422
    assert CANARY not in await response.text()


async def test_a_circle_takes_what_is_not_said_from_the_configuration(client: Any, service: Any, headers: Any) -> None:
    await client.post(f"{API}/circles", json={"name": "a", "tier": "network"}, headers=headers)
    new = service.asked[0][1][1]
    assert (new.max_tlp, new.retention_days) == ("TLP:GREEN", 30)
    await client.post(f"{API}/circles", json={"name": "a", "tier": "network", "max_tlp": "TLP:AMBER"}, headers=headers)
    assert service.asked[1][1][1].max_tlp == "TLP:AMBER"


async def test_the_inbox_is_read_by_cursor(client: Any, service: Any, headers: Any) -> None:
    await client.get(f"{API}/inbox?after=7&limit=2", headers=headers)
    assert service.asked == [("inbox", (LOCAL, "7", 2), {})]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "", "1e3", "٣", "9999999999999"])
async def test_a_limit_out_of_range_is_refused(limit: str, client: Any, service: Any, headers: Any) -> None:
    response = await client.get(f"{API}/inbox", params={"limit": limit}, headers=headers)
    assert (response.status, (await response.json(content_type=None))["field"]) == (422, "limit")
    assert not service.asked


async def test_an_identifier_cannot_become_another_route(client: Any, service: Any, headers: Any) -> None:
    await client.get(f"{API}/cases/..%2Fpeers", headers=headers)
    assert service.asked == [("case", (LOCAL, "../peers"), {})]


async def test_an_unknown_route_and_a_wrong_method_are_problems(client: Any, headers: Any) -> None:
    response = await client.get(f"{API}/nowhere", headers=headers)
    assert (response.status, response.content_type) == (404, "application/problem+json")
    response = await client.put(f"{API}/peers", headers=headers)
    assert (response.status, response.headers["Allow"]) == (405, "GET,POST")


async def test_too_large_a_body_is_refused(client: Any, service: Any, headers: Any) -> None:
    body = io.BytesIO(b'{"title":"' + b"x" * guards.MAX_BODY + b'"}')
    response = await client.post(f"{API}/cases", data=body, headers=headers | {"Content-Type": "application/json"})
    told = await response.json(content_type=None)
    assert (response.status, told["type"]) == (413, "urn:almenara:problem:too-large")
    assert not service.asked


async def test_a_repetition_with_the_same_key_answers_the_same_and_sends_once(
    client: Any, service: Any, headers: Any
) -> None:
    keyed = headers | {"Idempotency-Key": "k-1"}
    first = await client.post(f"{API}/alerts", json=SEND, headers=keyed)
    service.refuse = Problem(Kind.ALREADY_SENT)
    again = await client.post(f"{API}/alerts", json=SEND, headers=keyed)
    assert (first.status, await first.text()) == (again.status, await again.text())
    assert first.status == 201
    assert len(service.asked) == 1


async def test_two_at_once_with_the_same_key_send_once(client: Any, service: Any, headers: Any) -> None:
    keyed = headers | {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(client.post(f"{API}/alerts", json=SEND, headers=keyed) for _ in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len(service.asked) == 1


async def test_a_key_used_with_another_request_is_refused(client: Any, service: Any, headers: Any) -> None:
    keyed = headers | {"Idempotency-Key": "k-1"}
    await client.post(f"{API}/alerts", json=SEND, headers=keyed)
    response = await client.post(f"{API}/alerts", json=SEND | {"circle_id": "d"}, headers=keyed)
    assert (response.status, (await response.json(content_type=None))["field"]) == (400, "Idempotency-Key")
    assert len(service.asked) == 1


@pytest.mark.parametrize("state", ["ready", "draft"])
async def test_a_case_that_comes_again_with_its_key_is_kept_once(
    state: str, client: Any, service: Any, headers: Any
) -> None:
    """A caller that lost the answer would otherwise leave two cases, and each could be sent."""
    problems = [] if state == "ready" else [Problem(Kind.UNKNOWN_CODE, field="threats.0").as_json()]
    service.answers["save_case"] = service.answers["save_case"].model_copy(
        update={"state": state, "problems": problems}
    )
    keyed = headers | {"Idempotency-Key": "k-1"}
    first, again = [await client.post(f"{API}/cases", json={"title": "T"}, headers=keyed) for _ in range(2)]
    assert (first.status, first.content_type, await first.text()) == (
        again.status,
        again.content_type,
        await again.text(),
    )
    assert first.status == (201 if state == "ready" else 422)
    assert len(service.asked) == 1


async def test_one_key_at_two_routes_is_two_requests(client: Any, service: Any, headers: Any) -> None:
    keyed = headers | {"Idempotency-Key": "k-1"}
    await client.post(f"{API}/cases", json=SEND, headers=keyed)
    assert "alert_id" in await (await client.post(f"{API}/alerts", json=SEND, headers=keyed)).json()
    assert [name for name, _, _ in service.asked] == ["save_case", "send"]


async def test_a_refused_request_may_be_repeated_with_its_key(client: Any, service: Any, headers: Any) -> None:
    keyed = headers | {"Idempotency-Key": "k-1"}
    service.refuse = Problem(Kind.LOCKED)
    assert (await client.post(f"{API}/alerts", json=SEND, headers=keyed)).status == 423
    service.refuse = None
    assert (await client.post(f"{API}/alerts", json=SEND, headers=keyed)).status == 201


async def test_events_arrive_numbered_and_continue_after_the_last(client: Any, service: Any, headers: Any) -> None:
    service.events.publish("inbox", "a1")
    async with client.get(f"{API}/events", headers=headers | {"Last-Event-ID": "0"}) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        read = await response.content.readuntil(b"}\n\n")
        service.events.publish("delivery", "a2")
        read += await response.content.readuntil(b"}\n\n")
    text = read.decode()
    assert 'id: 1\nevent: inbox\ndata: {"kind": "inbox", "ref": "a1"}\n\n' in text
    assert 'id: 2\nevent: delivery\ndata: {"kind": "delivery", "ref": "a2"}\n\n' in text


async def test_a_reader_that_leaves_is_no_error_and_not_logged(
    client: Any, service: Any, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="aiohttp"), structlog.testing.capture_logs() as logs:
        async with client.get(f"{API}/events", headers=headers) as response:
            await response.content.readuntil(b"\n\n")
            response.close()
        for _ in range(5):
            service.events.publish("inbox", "a")
            await asyncio.sleep(0.01)
    assert not logs
    assert "127.0.0.1" not in caplog.text


async def test_a_compressed_body_is_not_unpacked(client: Any, service: Any, headers: Any) -> None:
    """A megabyte of gzip can hold a gigabyte."""
    body = gzip.compress(b'{"title":"t"}')
    packed = headers | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await client.post(f"{API}/cases", data=body, headers=packed)
    assert response.status == 415
    assert not service.asked
