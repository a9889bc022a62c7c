"""The first schema.

Sealed columns are plain bytes here: what seals them is the program's business, not the database's.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _bytes(name: str, **options: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), **({"nullable": False} | options))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _flag(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger(), nullable=False)


def _int(name: str, **options: Any) -> sa.Column[int]:
    return sa.Column(name, _Int, **({"nullable": False} | options))


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


_TABLES = (
    "meta",
    "counters",
    "peers",
    "invitations",
    "cards",
    "profiles",
    "own_prekeys",
    "peer_prekeys",
    "circles",
    "members",
    "frozen",
    "statements",
    "leaves",
    "class_keys",
    "chains",
    "objects",
    "log",
    "cursors",
    "peer_scopes",
    "alerts",
    "deliveries",
    "cases",
    "sent",
    "people",
    "sessions",
    "audit",
    "quarantine",
)


def upgrade() -> None:
    """From an empty database."""
    for part in (_own, _peers, _cards, _circles, _statements, _objects, _log, _alerts, _cases, _people):
        part()
    counters = sa.table("counters", sa.column("name", sa.Text), sa.column("value", _Int))
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("log", "alerts", "chains")])


def downgrade() -> None:
    """To an empty database."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _own() -> None:
    """Small facts about this database."""
    op.create_table("meta", _text("key"), _bytes("value"), sa.PrimaryKeyConstraint("key", name="pk_meta"))
    op.create_table("counters", _text("name"), _int("value"), sa.PrimaryKeyConstraint("name", name="pk_counters"))


def _peers() -> None:
    """Peers and invitations."""
    op.create_table(
        "peers",
        _bytes("node_id"),
        _text("state"),
        _bytes("name"),
        _bytes("kind"),
        _bytes("country"),
        _bytes("reason"),
        _bytes("code"),
        _bytes("endpoints"),
        _bytes("tls_cert"),
        _flag("initiator"),
        _int("paired_at"),
        _int("confirmed_at", nullable=True),
        _int("verified_at", nullable=True),
        _bytes("verified_by"),
        _int("last_contact_at", nullable=True),
        _bytes("direct_circle", nullable=True),
        sa.PrimaryKeyConstraint("node_id", name="pk_peers"),
    )
    op.create_table(
        "invitations",
        _bytes("invite_id"),
        _bytes("dump"),
        _int("expires_at"),
        sa.PrimaryKeyConstraint("invite_id", name="pk_invitations"),
    )


def _cards() -> None:
    """What nodes say of themselves."""
    op.create_table(
        "cards",
        _bytes("node_id"),
        _int("counter"),
        _bytes("blob"),
        _bytes("sign_public"),
        _bytes("tls_cert"),
        _int("status"),
        _int("issued_min"),
        sa.PrimaryKeyConstraint("node_id", "counter", name="pk_cards"),
    )
    op.create_table(
        "profiles",
        _bytes("node_id"),
        _bytes("blob"),
        _bytes("name"),
        _bytes("kind"),
        _bytes("country"),
        sa.PrimaryKeyConstraint("node_id", name="pk_profiles"),
    )
    op.create_table(
        "own_prekeys",
        _bytes("kid"),
        _bytes("seed"),
        _bytes("blob"),
        _int("created_at"),
        _int("usable_until"),
        _int("destroy_at"),
        sa.PrimaryKeyConstraint("kid", name="pk_own_prekeys"),
    )
    op.create_table(
        "peer_prekeys",
        _bytes("node_id"),
        _bytes("kid"),
        _bytes("blob"),
        _int("expires_at"),
        sa.PrimaryKeyConstraint("node_id", name="pk_peer_prekeys"),
    )


def _circles() -> None:
    """Circles and their members."""
    op.create_table(
        "circles",
        _bytes("circle_id"),
        _text("kind"),
        _bytes("name"),
        _text("state"),
        _int("tier"),
        _int("max_tlp"),
        _int("retention_days"),
        _bytes("peer", nullable=True),
        _bytes("invited_by", nullable=True),
        _bytes("anchor"),
        _int("joined_at", nullable=True),
        _int("created_at"),
        _bytes("reason"),
        sa.PrimaryKeyConstraint("circle_id", name="pk_circles"),
    )
    op.create_table(
        "members",
        _bytes("circle_id"),
        _bytes("node_id"),
        _text("state"),
        _int("role"),
        _int("changed_at"),
        sa.PrimaryKeyConstraint("circle_id", "node_id", name="pk_members"),
    )
    op.create_table(
        "frozen",
        _bytes("case_id"),
        _bytes("circle_id"),
        _bytes("frozen"),
        sa.PrimaryKeyConstraint("case_id", "circle_id", name="pk_frozen"),
    )


def _statements() -> None:
    """Statements and keys."""
    op.create_table(
        "statements",
        _bytes("statement_id"),
        _bytes("circle_id"),
        _int("number"),
        _bytes("parent"),
        _bytes("issuer"),
        _bytes("body"),
        _bytes("content"),
        _bytes("epoch_key", nullable=True),
        _bytes("carry_secret", nullable=True),
        _int("received_at"),
        sa.PrimaryKeyConstraint("statement_id", name="pk_statements"),
    )
    op.create_index("ix_statements_circle_id", "statements", ["circle_id"])
    op.create_table(
        "leaves",
        _bytes("circle_id"),
        _bytes("node_id"),
        _bytes("statement_id"),
        _bytes("content"),
        _int("received_at"),
        sa.PrimaryKeyConstraint("circle_id", "node_id", "statement_id", name="pk_leaves"),
    )
    op.create_table(
        "class_keys",
        _bytes("statement_id"),
        _int("cls"),
        _bytes("circle_id"),
        _bytes("kid"),
        _bytes("key"),
        _int("destroy_at", nullable=True),
        sa.PrimaryKeyConstraint("statement_id", "cls", name="pk_class_keys"),
    )


def _objects() -> None:
    """Chains and the objects in them."""
    op.create_table(
        "chains",
        _int("chain_id", autoincrement=False),
        _bytes("author"),
        _bytes("circle_id"),
        _bytes("incarnation"),
        _int("head_seq"),
        _bytes("head_hash"),
        sa.PrimaryKeyConstraint("chain_id", name="pk_chains"),
        sa.UniqueConstraint("author", "circle_id", "incarnation", name="uq_chains_author_circle_id_incarnation"),
    )
    op.create_table(
        "objects",
        _int("chain_id", autoincrement=False),
        _int("seq", autoincrement=False),
        _int("type"),
        _bytes("ref_id"),
        _int("revision"),
        _bytes("header_hash"),
        _bytes("salt"),
        _bytes("envelope_id"),
        _int("created_min"),
        _int("expires_min"),
        _int("received_at"),
        _bytes("header"),
        _bytes("signature"),
        _bytes("body"),
        sa.PrimaryKeyConstraint("chain_id", "seq", name="pk_objects"),
        sa.ForeignKeyConstraint(["chain_id"], ["chains.chain_id"], name="fk_objects_chain_id"),
    )


def _log() -> None:
    """Envelopes, and how far each peer has come."""
    op.create_table(
        "log",
        _int("position", autoincrement=False),
        _bytes("envelope_id"),
        _int("lane"),
        _text("state"),
        _bytes("tag"),
        _bytes("kid"),
        _bytes("source"),
        _bytes("recipient"),
        _int("cls"),
        _int("created_hour"),
        _int("suite"),
        _int("received_at"),
        _bytes("data"),
        sa.PrimaryKeyConstraint("position", name="pk_log"),
        sa.UniqueConstraint("envelope_id", name="uq_log_envelope_id"),
    )
    op.create_index("ix_log_age", "log", ["cls", "created_hour"])
    _partial("ix_log_held_kid", "log", ["kid"], "state = 'held'")
    _partial("ix_log_held_tag", "log", ["tag"], "state = 'held'")
    _partial("ix_log_recipient", "log", ["recipient", "lane", "position"], "length(recipient) > 0")
    op.create_index("ix_log_scope", "log", ["tag", "lane", "position"])
    op.create_table(
        "cursors",
        _bytes("node_id"),
        _text("direction"),
        _int("lane"),
        _bytes("epoch"),
        _int("position"),
        sa.PrimaryKeyConstraint("node_id", "direction", "lane", name="pk_cursors"),
    )
    op.create_table(
        "peer_scopes",
        _bytes("node_id"),
        _bytes("tag"),
        sa.PrimaryKeyConstraint("node_id", "tag", name="pk_peer_scopes"),
    )


def _alerts() -> None:
    """Alerts, and how far ours have come."""
    op.create_table(
        "alerts",
        _int("position", autoincrement=False),
        _bytes("alert_id"),
        _bytes("author"),
        _bytes("circle_id"),
        _bytes("statement_id"),
        _int("revision"),
        _text("type"),
        _int("tlp"),
        _text("state"),
        _int("created_at"),
        _int("received_at"),
        _int("expires_at"),
        _flag("own"),
        _bytes("case_id", nullable=True),
        _bytes("body_sha256"),
        _bytes("view_key"),
        _bytes("body"),
        sa.PrimaryKeyConstraint("position", name="pk_alerts"),
        sa.UniqueConstraint("alert_id", "author", "revision", name="uq_alerts_alert_id_author_revision"),
    )
    _partial("ix_alerts_expiry", "alerts", ["expires_at"], "state = 'current'")
    _partial("ix_alerts_own", "alerts", ["position"], "own = 1")
    op.create_index("ix_alerts_view", "alerts", ["circle_id", "position", "view_key"])
    op.create_table(
        "deliveries",
        _bytes("envelope_id"),
        _bytes("node_id"),
        _bytes("alert_id"),
        _text("state"),
        _int("sent_at", nullable=True),
        _int("stored_at", nullable=True),
        _bytes("reason"),
        sa.PrimaryKeyConstraint("envelope_id", "node_id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_alert_id", "deliveries", ["alert_id"])
    _partial("ix_deliveries_open", "deliveries", ["node_id"], "state IN ('queued', 'sent', 'carried')")


def _cases() -> None:
    """What never leaves."""
    op.create_table(
        "cases",
        _bytes("case_id"),
        _text("state"),
        _bytes("document"),
        _bytes("problems"),
        _bytes("warnings"),
        _int("created_at"),
        _int("updated_at"),
        sa.PrimaryKeyConstraint("case_id", name="pk_cases"),
    )
    op.create_table(
        "sent",
        _bytes("case_id"),
        _bytes("circle_id"),
        _bytes("alert_id"),
        _bytes("body_sha256"),
        _int("policy_version"),
        _bytes("consent"),
        _int("sent_at"),
        sa.PrimaryKeyConstraint("case_id", "circle_id", name="pk_sent"),
    )


def _people() -> None:
    """Who may sign in, who did what, and what was refused."""
    op.create_table(
        "people",
        _bytes("name_key"),
        _bytes("name"),
        _text("role"),
        _bytes("password_hash"),
        _int("created_at"),
        sa.PrimaryKeyConstraint("name_key", name="pk_people"),
    )
    op.create_table(
        "sessions",
        _bytes("token_key"),
        _bytes("token_hash"),
        _bytes("name_key"),
        _bytes("name"),
        _bytes("csrf"),
        _int("created_at"),
        _int("seen_at"),
        sa.PrimaryKeyConstraint("token_key", name="pk_sessions"),
    )
    op.create_index("ix_sessions_name_key", "sessions", ["name_key"])
    op.create_table(
        "audit",
        _int("id"),
        _int("at"),
        _bytes("who"),
        _bytes("what"),
        _bytes("ref"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "quarantine",
        _int("id"),
        _int("at"),
        _bytes("peer"),
        _bytes("reason"),
        _bytes("field"),
        _bytes("expected"),
        _bytes("got"),
        _bytes("envelope_id"),
        _int("size"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
