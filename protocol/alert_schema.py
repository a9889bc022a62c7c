"""The JSON Schema of ALERT, the object in which panel, API and CLI tell an alert (SCHEMAS §8)."""

from __future__ import annotations

from typing import Any, Final

from almenara.protocol.limits import ALERT_SCHEMA, MAX_ALERT_TEXT, MAX_RESPONSES, MAX_THREATS, UINT16
from almenara.protocol.vocabulary import TLP

_CODE: Final = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9.:+_-]{0,63}$"}
_COUNTRY: Final = {"type": "string", "pattern": "^[A-Z]{2}$"}
_INSTANT: Final = {"type": "string", "format": "date-time"}
_UUID: Final = {"type": "string", "format": "uuid"}


def _codes(high: int) -> dict[str, Any]:
    return {"type": "array", "items": _CODE, "minItems": 1, "maxItems": high}


_VIEW: Final[dict[str, Any]] = {
    "schema": {"const": ALERT_SCHEMA},
    "vocab": {"type": "integer", "minimum": 1, "maximum": UINT16},
    "tier": {"type": "integer", "minimum": 1, "maximum": 3},
    "status": _CODE,
    "threats": _codes(MAX_THREATS),
    "phase": _CODE,
    "severity": _CODE,
    "urgency": _CODE,
    "certainty": _CODE,
    "verification": _CODE,
    "permitted_actions": _CODE,
    "perpetrator": _CODE,
    "target_unit": _CODE,
    "situation": _CODE,
    "role": _CODE,
    "issue": _CODE,
    "network_shows": _CODE,
    "country": {"type": "string", "pattern": "^([A-Z]{2}|M49:[0-9]{3})$"},
    "area": {"type": "string", "pattern": "^[A-Z]{2}-[A-Z0-9]{1,3}$"},
    "cell": {"type": "string", "pattern": "^8[0-6][0-9a-f]{13}$"},
    "when": {"type": "string", "pattern": "^[0-9]{4}-(W[0-9]{2}|[0-9]{2}(-[0-9]{2})?)$"},
    "origin": _COUNTRY,
    "host": _COUNTRY,
    "reprisal": _CODE,
    "gendered": {"const": True},
    "requests": _codes(MAX_RESPONSES),
    "offers": _codes(MAX_RESPONSES),
    "language": {"type": "string"},
    "text": {"type": "string", "maxLength": MAX_ALERT_TEXT},
}
_ALWAYS: Final = [*list(_VIEW)[:13], "country"]
_AUTHOR: Final[dict[str, Any]] = {
    "node_id": {"type": "string", "pattern": "^[a-z2-7]{56}$"},
    "name": {"type": "string"},
    "verified": {"type": "boolean"},
}
_ALERT: Final[dict[str, Any]] = {
    "alert_id": _UUID,
    "circle_id": _UUID,
    "circle": {"type": "string"},
    "author": {"type": "object", "properties": _AUTHOR, "required": list(_AUTHOR), "additionalProperties": False},
    "type": {"enum": ["Alert", "Update", "Cancel"]},
    "state": {"enum": ["current", "superseded", "cancelled", "expired", "erased", "forked"]},
    "revision": {"type": "integer", "minimum": 0},
    "tlp": {"enum": list(TLP)},
    "created_at": _INSTANT,
    "received_at": _INSTANT,
    "expires_at": _INSTANT,
    "view": {
        "description": "The slots of the alert body by name, absent ones left out; unknown codes stand as they came.",
        "oneOf": [
            {"type": "object", "properties": _VIEW, "required": _ALWAYS, "additionalProperties": False},
            {
                "description": "A body of a later schema, which this node keeps but does not read.",
                "type": "object",
                "properties": {"schema": {"type": "integer", "minimum": ALERT_SCHEMA + 1}},
                "required": ["schema"],
                "additionalProperties": False,
            },
        ],
    },
}


def json_schema_alert() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of ALERT, for `almenara schema alert`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:almenara:schema:alert:1",
        "title": "Alert",
        "type": "object",
        "properties": _ALERT,
        "required": list(_ALERT),
        "additionalProperties": False,
    }
