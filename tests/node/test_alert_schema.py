"""What the node tells of an alert is what `almenara schema alert` promises."""

from __future__ import annotations

import jsonschema
import pytest

from almenara.crypto.identity import NodeId
from almenara.node.models import Alert, Author
from almenara.protocol.alert import json_schema_alert, parse_view
from tests.protocol.test_alert import INTERNATIONAL, NETWORK, PARTNER, encode_view


def test_the_model_and_the_schema_have_the_same_members() -> None:
    schema = json_schema_alert()
    assert list(schema["properties"]) == list(Alert.model_fields)
    assert list(schema["properties"]["author"]["properties"]) == list(Author.model_fields)


@pytest.mark.parametrize("view", [PARTNER, NETWORK, INTERNATIONAL], ids=["partner", "network", "international"])
def test_a_dumped_alert_is_valid(view: dict[str, object]) -> None:
    alert = Alert(
        alert_id="0b1f5e0e-7d4b-4c6e-9a94-7bfb0a1c2d3e",
        circle_id="6f1f9a3e-0c7a-4b5d-9f57-0d6f0a6b1c2d",
        circle="c-andes",
        author=Author(node_id=NodeId(bytes(32)).text, name="alpha", verified=True),
        state="current",
        revision=0,
        tlp="TLP:AMBER+STRICT",
        created_at="2026-11-20T14:37:00.000Z",
        received_at="2026-11-20T14:37:00.000Z",
        expires_at="2027-02-18T14:37:00.000Z",
        view=parse_view(encode_view(view)),
    )
    jsonschema.Draft202012Validator(json_schema_alert()).validate(alert.dump())
