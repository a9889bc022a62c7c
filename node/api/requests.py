"""What the API takes, where `almenara.node.models` has no object for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from almenara.node.models import DISCOVERY_MINUTES, Model, RoleName

Status = Literal["Actual", "Exercise", "Test"]


class PairAsked(Model):
    """`almenara pair`."""

    invitation: str = Field(max_length=2048)


class DiscoveryAsked(Model):
    """`almenara discover`."""

    minutes: int = Field(default=10, ge=1, le=DISCOVERY_MINUTES)


class PreviewAsked(Model):
    """`almenara alert preview`."""

    case_id: str
    circle_id: str
    status: Status = "Actual"


class AlertNew(PreviewAsked):
    """`almenara alert send`: what was previewed. Other bytes or another statement by now are refused."""

    body_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    statement: str


class PersonNew(Model):
    """`almenara person add`."""

    name: str
    role: RoleName
    password: str = Field(json_schema_extra={"format": "password", "writeOnly": True})
