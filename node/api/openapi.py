"""The OpenAPI 3.1 document, made from the same routes and models that answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from almenara.node.api.keys import API, PROBLEM_TYPE
from almenara.node.api.repetitions import KEY_HEADER, KEY_MAX
from almenara.node.problem import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almenara.node.api.route import Route
    from almenara.node.models import Model

_REFERENCE = "#/components/schemas/{model}"
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `got` of a local-only field is its type and length, never its text.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"enum": [f"urn:almenara:problem:{kind}" for kind in Kind]},
        "status": {"type": "integer"},
        **dict.fromkeys(("title", "detail", "field", "expected", "got", "next", "case_id"), _TEXT),
    },
}


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Describe every route."""
    used = {model for route in routes for model in (route.answers, route.takes) if model is not None}
    ordered = sorted(used, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(API + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "almenara", "version": version, "description": "One node's own API, for its own people."},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Problem": _PROBLEM},
            "securitySchemes": {
                "local": {"type": "http", "scheme": "bearer", "description": "The token of run/local.json"},
                "panel": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "almenara_session_7780",
                    "description": "The panel's session; the number is the panel's port",
                },
            },
        },
        "security": [{"local": []}, {"panel": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.handle.__module__.rpartition('.')[2]}.{route.handle.__name__}",
        "parameters": _parameters(route),
        "responses": {
            str(route.status): {
                "description": "Done",
                "content": {route.media_type: {"schema": _schema(route.answers)}},
            },
            "default": {
                "description": "Refused, and why",
                "content": {PROBLEM_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
            },
        },
    }
    if route.takes is not None or route.document:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(route.takes)}}}
    if route.streams:
        told["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if route.open:
        told["security"] = [{}, {"local": []}, {"panel": []}]
    return told


def _schema(model: type[Model] | None) -> dict[str, Any]:
    return {} if model is None else {"$ref": _REFERENCE.format(model=model.__name__)}


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", route.path)
    ]
    found += [{"name": q.name, "in": "query", "description": q.summary, "schema": q.schema} for q in route.query]
    found += [{"name": h.name, "in": "header", "description": h.summary, "schema": h.schema} for h in route.headers]
    if route.idempotent:
        found.append({"name": KEY_HEADER, "in": "header", "schema": {"type": "string", "maxLength": KEY_MAX}})
    return found
