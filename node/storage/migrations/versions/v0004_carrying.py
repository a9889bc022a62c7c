"""Carrying for circles we are not in, and being carried for (PROTOCOL §6)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _Int, nullable=nullable)


def upgrade() -> None:
    """Whom we asked, for whom we carry and which scopes, and who holds envelopes of ours for others."""
    op.create_table(
        "carriers",
        _bytes("circle_id"),
        _bytes("node_id"),
        _int("asked_at"),
        _int("granted", nullable=True),
        _int("used", nullable=True),
        sa.PrimaryKeyConstraint("circle_id", "node_id", name="pk_carriers"),
    )
    op.create_table(
        "carried",
        _bytes("node_id"),
        _bytes("tag"),
        _bytes("key"),
        _int("week"),
        _int("ends_at", nullable=True),
        sa.PrimaryKeyConstraint("node_id", "tag", name="pk_carried"),
    )
    op.create_index("ix_carried_tag", "carried", ["tag"])
    op.create_table(
        "carry_askers",
        _bytes("node_id"),
        _int("quota", nullable=True),
        _int("used"),
        _int("asked_at", nullable=True),
        sa.PrimaryKeyConstraint("node_id", name="pk_carry_askers"),
    )
    op.create_table(
        "holders",
        _bytes("envelope_id"),
        _bytes("node_id"),
        _int("at"),
        sa.PrimaryKeyConstraint("envelope_id", "node_id", name="pk_holders"),
    )


def downgrade() -> None:
    """Without them."""
    for table in ("holders", "carry_askers", "carried", "carriers"):
        op.drop_table(table)
