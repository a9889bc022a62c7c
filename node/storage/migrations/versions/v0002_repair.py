"""Repair by comparing sets: ids of what was refused; what scopes a peer was offered needs no table any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_counters = sa.table("counters", sa.column("name", sa.Text), sa.column("value", _Int))


def upgrade() -> None:
    """From 0001."""
    op.drop_table("peer_scopes")
    op.create_table(
        "refused",
        sa.Column("position", _Int, nullable=False, autoincrement=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.Column("cls", _Int, nullable=False),
        sa.Column("created_hour", _Int, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_refused"),
        sa.UniqueConstraint("envelope_id", name="uq_refused_envelope_id"),
    )
    op.create_index("ix_refused_age", "refused", ["cls", "created_hour"])
    op.bulk_insert(_counters, [{"name": "refused", "value": 0}])


def downgrade() -> None:
    """To 0001."""
    op.execute(_counters.delete().where(_counters.c.name == "refused"))
    op.drop_table("refused")
    op.create_table(
        "peer_scopes",
        sa.Column("node_id", sa.LargeBinary(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "tag", name="pk_peer_scopes"),
    )
