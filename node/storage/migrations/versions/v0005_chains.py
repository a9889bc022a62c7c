"""What chains show: gaps, forks, and what members say they hold.

Revision 0005: chains learn when their objects were made and what receipts have told of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED = {"first_min": 0, "last_min": 0, "due_seq": -1, "told_seq": -1}
_TABLES = ("gaps", "forks", "revisions", "holdings", "receipting")


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _Int, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """What is held already counts as told: no receipt is written for the past."""
    objects = sa.table("objects", sa.column("chain_id", _Int), sa.column("created_min", _Int))
    chains = sa.table("chains", *[sa.column(name, _Int) for name in ("chain_id", *_ADDED)])
    for name, value in _ADDED.items():
        op.add_column("chains", sa.Column(name, _Int, nullable=False, server_default=sa.text(str(value))))
    for name, chosen in (("first_min", "min"), ("last_min", "max")):
        made = sa.select(getattr(sa.func, chosen)(objects.c.created_min)).where(objects.c.chain_id == chains.c.chain_id)
        op.execute(sa.update(chains).values({name: sa.func.coalesce(made.scalar_subquery(), 0)}))
    op.add_column("alerts", sa.Column("body_commit", sa.LargeBinary(), nullable=True))
    forked = sa.text("state = 'forked'")
    op.create_index("ix_alerts_forked", "alerts", ["circle_id"], sqlite_where=forked, postgresql_where=forked)
    op.create_table(
        "gaps",
        _int("chain_id"),
        _int("first_seq"),
        _int("last_seq"),
        _bytes("prev"),
        sa.Column("early", sa.SmallInteger(), nullable=False),
        _int("noticed_at"),
        sa.PrimaryKeyConstraint("chain_id", "first_seq", name="pk_gaps"),
    )
    op.create_table(
        "forks",
        _bytes("first_hash"),
        _bytes("second_hash"),
        _bytes("author"),
        _bytes("circle_id"),
        sa.Column("kind", sa.Text(), nullable=False),
        _bytes("ref_id"),
        _int("at"),
        _bytes("content"),
        _int("found_at"),
        _int("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("first_hash", "second_hash", name="pk_forks"),
    )
    op.create_index("ix_forks_author_ref_id", "forks", ["author", "ref_id"])
    _add_small_tables()


def _add_small_tables() -> None:
    """Revisions, holdings, and when receipts are due."""
    op.create_table(
        "revisions",
        _bytes("ref_id"),
        _bytes("author"),
        _int("line"),
        _int("revision"),
        _bytes("body_commit"),
        sa.PrimaryKeyConstraint("ref_id", "author", "line", "revision", name="pk_revisions"),
    )
    op.create_table(
        "holdings",
        _bytes("circle_id"),
        _bytes("node_id"),
        _bytes("incarnation"),
        _int("first_seq"),
        _int("last_seq"),
        sa.PrimaryKeyConstraint("circle_id", "node_id", "incarnation", "first_seq", name="pk_holdings"),
    )
    op.create_table(
        "receipting",
        _bytes("circle_id"),
        _int("told_at", nullable=True),
        _int("due_at", nullable=True),
        sa.PrimaryKeyConstraint("circle_id", name="pk_receipting"),
    )


def downgrade() -> None:
    """Forget it again."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.drop_index("ix_alerts_forked", "alerts")
    op.drop_column("alerts", "body_commit")
    for name in _ADDED:
        op.drop_column("chains", name)
