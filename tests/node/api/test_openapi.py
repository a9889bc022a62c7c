"""The OpenAPI document is valid and complete."""

from __future__ import annotations

from typing import Any

from aiohttp.web_urldispatcher import PrefixedSubAppResource
from openapi_spec_validator import OpenAPIV31SpecValidator

from almenara.node.api.app import ROUTES
from almenara.node.api.keys import API


async def test_the_document_is_valid_openapi_3_1(client: Any) -> None:
    told = await (await client.get(f"{API}/openapi.json")).json()
    assert told["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(told).iter_errors())


async def test_every_route_of_the_server_is_described_and_nothing_else(client: Any, app: Any) -> None:
    told = await (await client.get(f"{API}/openapi.json")).json()
    described = {(path, method.upper()) for path, methods in told["paths"].items() for method in methods}
    served = {
        (resource.canonical, route.method)
        for part in (app, *app._subapps)
        for resource in part.router.resources()
        if not isinstance(resource, PrefixedSubAppResource)
        for route in resource
        if route.method != "HEAD"
    }
    assert described == served
    assert len(described) == len(ROUTES)


async def test_every_operation_has_its_own_id(client: Any) -> None:
    told = await (await client.get(f"{API}/openapi.json")).json()
    ids = [operation["operationId"] for methods in told["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
