"""The tables. The newest migration and this file say the same (a test compares them).

What a batch of received alerts costs is the number of pages it dirties, each about 10 us to encrypt. So `log`,
`objects` and `alerts` grow in order of arrival, objects name their chain by a small integer, and there is one index in
random order each at most; every other index on them rises with arrival or holds few rows (a partial index).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
)

from almenara.node.storage.sealed import Blind, Flag, SealedBytes, SealedJson, SealedText, SealedTexts

VERSION = "0005"
"""The migration this program's tables come from."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

Int = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's rowid wants the word INTEGER; both hold 64 bits


def _id(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=True)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _int(name: str) -> Column[int]:
    return Column(name, Int, nullable=False)


def _maybe(name: str) -> Column[int]:
    return Column(name, Int)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


meta = Table(
    "meta", metadata, Column("key", Text, primary_key=True), Column("value", SealedBytes("meta.value"), nullable=False)
)

counters = Table("counters", metadata, Column("name", Text, primary_key=True), _int("value"))
"""The last position given out, by table. Positions are cursors for others, so none is ever given twice."""

# peers, and what nodes say of themselves

peers = Table(
    "peers",
    metadata,
    _id("node_id"),
    _text("state"),
    Column("name", SealedText("peers.name"), nullable=False),
    Column("kind", SealedText("peers.kind"), nullable=False),
    Column("country", SealedText("peers.country"), nullable=False),
    Column("reason", SealedText("peers.reason"), nullable=False),
    Column("code", SealedText("peers.code"), nullable=False),
    Column("endpoints", SealedTexts("peers.endpoints"), nullable=False),
    Column("tls_cert", SealedBytes("peers.tls_cert"), nullable=False),
    Column("initiator", Flag, nullable=False),
    _int("paired_at"),
    _maybe("confirmed_at"),
    _maybe("verified_at"),
    Column("verified_by", SealedText("peers.verified_by"), nullable=False),
    _maybe("last_contact_at"),
    Column("direct_circle", LargeBinary),
)

invitations = Table(
    "invitations",
    metadata,
    _id("invite_id"),
    Column("dump", SealedBytes("invitations.dump"), nullable=False),
    _int("expires_at"),
)

cards = Table(
    "cards",
    metadata,
    _id("node_id"),
    Column("counter", Int, primary_key=True),
    Column("blob", SealedBytes("cards.blob"), nullable=False),
    Column("sign_public", SealedBytes("cards.sign_public"), nullable=False),
    Column("tls_cert", SealedBytes("cards.tls_cert"), nullable=False),
    _int("status"),
    _int("issued_min"),
)

profiles = Table(
    "profiles",
    metadata,
    _id("node_id"),
    Column("blob", SealedBytes("profiles.blob"), nullable=False),
    Column("name", SealedText("profiles.name"), nullable=False),
    Column("kind", SealedText("profiles.kind"), nullable=False),
    Column("country", SealedText("profiles.country"), nullable=False),
)

own_prekeys = Table(
    "own_prekeys",
    metadata,
    _id("kid"),
    Column("seed", SealedBytes("own_prekeys.seed"), nullable=False),
    Column("blob", SealedBytes("own_prekeys.blob"), nullable=False),
    _int("created_at"),
    _int("usable_until"),
    _int("destroy_at"),
)

peer_prekeys = Table(
    "peer_prekeys",
    metadata,
    _id("node_id"),
    _bytes("kid"),
    Column("blob", SealedBytes("peer_prekeys.blob"), nullable=False),
    _int("expires_at"),
)

# circles and their keys

circles = Table(
    "circles",
    metadata,
    _id("circle_id"),
    _text("kind"),
    Column("name", SealedText("circles.name"), nullable=False),
    _text("state"),
    _int("tier"),
    _int("max_tlp"),
    _int("retention_days"),
    Column("peer", LargeBinary),
    Column("invited_by", LargeBinary),
    _bytes("anchor"),
    _maybe("joined_at"),
    _int("created_at"),
    Column("reason", SealedText("circles.reason"), nullable=False),
)

members = Table(
    "members",
    metadata,
    _id("circle_id"),
    _id("node_id"),
    _text("state"),
    _int("role"),
    _int("changed_at"),
)

frozen = Table(
    "frozen",
    metadata,
    _id("case_id"),
    _id("circle_id"),
    Column("frozen", SealedJson("frozen.frozen"), nullable=False),
)
"""Place and time of a case as a circle was first told; later ones may only be coarser (DESIGN §7)."""

statements = Table(
    "statements",
    metadata,
    _id("statement_id"),
    _bytes("circle_id"),
    _int("number"),
    _bytes("parent"),
    _bytes("issuer"),
    Column("body", SealedBytes("statements.body"), nullable=False),
    Column("content", SealedBytes("statements.content"), nullable=False),
    Column("epoch_key", SealedBytes("statements.epoch_key")),
    Column("carry_secret", SealedBytes("statements.carry_secret")),
    _int("received_at"),
    Index(None, "circle_id"),
)

leaves = Table(
    "leaves",
    metadata,
    _id("circle_id"),
    _id("node_id"),
    _id("statement_id"),
    Column("content", SealedBytes("leaves.content"), nullable=False),
    _int("received_at"),
)

class_keys = Table(
    "class_keys",
    metadata,
    _id("statement_id"),
    Column("cls", Int, primary_key=True),
    _bytes("circle_id"),
    _bytes("kid"),
    Column("key", SealedBytes("class_keys.key"), nullable=False),
    _maybe("destroy_at"),
)

# what arrives

chains = Table(
    "chains",
    metadata,
    Column("chain_id", Int, primary_key=True, autoincrement=False),
    _bytes("author"),
    _bytes("circle_id"),
    _bytes("incarnation"),
    _int("head_seq"),
    _bytes("head_hash"),
    _int("first_min"),
    _int("last_min"),
    _int("due_seq"),
    _int("told_seq"),
    UniqueConstraint("author", "circle_id", "incarnation"),
)
"""`first_min`, `last_min`: when its objects were made. `due_seq`: the last a receipt is due for; `told_seq`: told."""

gaps = Table(
    "gaps",
    metadata,
    Column("chain_id", Int, primary_key=True, autoincrement=False),
    Column("first_seq", Int, primary_key=True, autoincrement=False),
    _int("last_seq"),
    _bytes("prev"),
    Column("early", Flag, nullable=False),
    _int("noticed_at"),
)
"""Numbers of a chain that are not held. -1 with `prev`: the header that the chain itself goes on from is not held."""

forks = Table(
    "forks",
    metadata,
    Column("first_hash", Blind("forks.first_hash"), primary_key=True),
    Column("second_hash", Blind("forks.second_hash"), primary_key=True),
    _bytes("author"),
    _bytes("circle_id"),
    _text("kind"),
    _bytes("ref_id"),
    _int("at"),
    Column("content", SealedBytes("forks.content"), nullable=False),
    _int("found_at"),
    _maybe("settled_at"),
    Index(None, "author", "ref_id"),
)
"""Two of one author's where there may be one; `content` is the second object, the first stands in its place."""

revisions = Table(
    "revisions",
    metadata,
    _id("ref_id"),
    _id("author"),
    Column("line", Int, primary_key=True, autoincrement=False),
    Column("revision", Int, primary_key=True, autoincrement=False),
    Column("body_commit", SealedBytes("revisions.body_commit"), nullable=False),
)
"""Which body each revision of an answer, an update, a cancel or a retraction has; alerts keep theirs themselves."""

holdings = Table(
    "holdings",
    metadata,
    _id("circle_id"),
    _id("node_id"),
    _id("incarnation"),
    Column("first_seq", Int, primary_key=True, autoincrement=False),
    _int("last_seq"),
)
"""What members said in receipts that they hold of our own chains."""

receipting = Table("receipting", metadata, _id("circle_id"), _maybe("told_at"), _maybe("due_at"))
"""When we last wrote a receipt in a circle, and when the next is due."""

objects = Table(
    "objects",
    metadata,
    Column("chain_id", Int, ForeignKey("chains.chain_id"), primary_key=True, autoincrement=False),
    Column("seq", Int, primary_key=True, autoincrement=False),
    _int("type"),
    _bytes("ref_id"),
    _int("revision"),
    _bytes("header_hash"),
    _bytes("salt"),
    _bytes("envelope_id"),
    _int("created_min"),
    _int("expires_min"),
    _int("received_at"),
    Column("header", SealedBytes("objects.header"), nullable=False),
    Column("signature", SealedBytes("objects.signature"), nullable=False),
    Column("body", SealedBytes("objects.body"), nullable=False),
)

log = Table(
    "log",
    metadata,
    Column("position", Int, primary_key=True, autoincrement=False),
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
    UniqueConstraint("envelope_id"),
    Index("ix_log_scope", "tag", "lane", "position"),
    Index("ix_log_age", "cls", "created_hour"),
)
"""Envelopes in order of arrival. Their bytes are ciphertext already and stay as they came."""
# Conditions of partial indexes, here and below, hold their values as words: SQLite's planner cannot use a bound value.
HELD = log.c.state == literal_column("'held'")
ADDRESSED = func.length(log.c.recipient) > literal_column("0")
Index("ix_log_held_kid", log.c.kid, sqlite_where=HELD, postgresql_where=HELD)
Index("ix_log_held_tag", log.c.tag, sqlite_where=HELD, postgresql_where=HELD)
Index(
    "ix_log_recipient", log.c.recipient, log.c.lane, log.c.position, sqlite_where=ADDRESSED, postgresql_where=ADDRESSED
)

cursors = Table(
    "cursors",
    metadata,
    _id("node_id"),
    Column("direction", Text, primary_key=True),
    Column("lane", Int, primary_key=True),
    _bytes("epoch"),
    _int("position"),
)
"""incoming: what we durably took from a peer's log; outgoing: what a peer took from ours."""

refused = Table(
    "refused",
    metadata,
    Column("position", Int, primary_key=True, autoincrement=False),
    _bytes("envelope_id"),
    _bytes("tag"),
    _int("cls"),
    _int("created_hour"),
    UniqueConstraint("envelope_id"),
    Index("ix_refused_age", "cls", "created_hour"),
)
"""Ids of envelopes that were refused for good: known again, and counted in repair, until two days past their life."""

alerts = Table(
    "alerts",
    metadata,
    Column("position", Int, primary_key=True, autoincrement=False),
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
    Column("own", Flag, nullable=False),
    Column("case_id", LargeBinary),
    Column("body_sha256", SealedBytes("alerts.body_sha256"), nullable=False),
    Column("view_key", Blind("alerts.view_key"), nullable=False),
    Column("body", SealedBytes("alerts.body"), nullable=False),
    Column("body_commit", SealedBytes("alerts.body_commit")),
    UniqueConstraint("alert_id", "author", "revision"),
    Index("ix_alerts_view", "circle_id", "position", "view_key"),
)
OWN = alerts.c.own == literal_column("1")
CURRENT = alerts.c.state == literal_column("'current'")
FORKED = alerts.c.state == literal_column("'forked'")
Index("ix_alerts_forked", alerts.c.circle_id, sqlite_where=FORKED, postgresql_where=FORKED)
Index("ix_alerts_own", alerts.c.position, sqlite_where=OWN, postgresql_where=OWN)
Index("ix_alerts_expiry", alerts.c.expires_at, sqlite_where=CURRENT, postgresql_where=CURRENT)

deliveries = Table(
    "deliveries",
    metadata,
    _id("envelope_id"),
    _id("node_id"),
    _bytes("alert_id"),
    _text("state"),
    _maybe("sent_at"),
    _maybe("stored_at"),
    Column("reason", SealedText("deliveries.reason"), nullable=False),
    Index(None, "alert_id"),
)
OPEN = deliveries.c.state.in_([literal_column(state) for state in ("'queued'", "'sent'", "'carried'")])
Index("ix_deliveries_open", deliveries.c.node_id, sqlite_where=OPEN, postgresql_where=OPEN)

# carrying

carriers = Table(
    "carriers", metadata, _id("circle_id"), _id("node_id"), _int("asked_at"), _maybe("granted"), _maybe("used")
)
"""Peers we asked to carry for a circle of ours; granted and used are what they said last, for all that we asked."""

carried = Table(
    "carried",
    metadata,
    _id("node_id"),
    _id("tag"),
    Column("key", SealedBytes("carried.key"), nullable=False),
    _int("week"),
    _maybe("ends_at"),
    Index("ix_carried_tag", "tag"),
)
"""Scopes a peer asked us to carry."""

carry_askers = Table("carry_askers", metadata, _id("node_id"), _maybe("quota"), _int("used"), _maybe("asked_at"))
"""Peers that asked: their pool. Without a quota of its own, a peer has the configured one."""

holders = Table("holders", metadata, _id("envelope_id"), _id("node_id"), _int("at"))
"""Carriers that said they hold an envelope of ours."""

# what never leaves

cases = Table(
    "cases",
    metadata,
    _id("case_id"),
    _text("state"),
    Column("document", SealedJson("cases.document"), nullable=False),
    Column("problems", SealedJson("cases.problems"), nullable=False),
    Column("warnings", SealedJson("cases.warnings"), nullable=False),
    _int("created_at"),
    _int("updated_at"),
)

sent = Table(
    "sent",
    metadata,
    _id("case_id"),
    _id("circle_id"),
    _bytes("alert_id"),
    Column("body_sha256", SealedBytes("sent.body_sha256"), nullable=False),
    _int("policy_version"),
    Column("consent", SealedJson("sent.consent"), nullable=False),
    _int("sent_at"),
)

people = Table(
    "people",
    metadata,
    Column("name_key", Blind("people.name_key"), primary_key=True),
    Column("name", SealedText("people.name"), nullable=False),
    _text("role"),
    Column("password_hash", SealedText("people.password_hash"), nullable=False),
    _int("created_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_key", Blind("sessions.token_key"), primary_key=True),
    Column("token_hash", SealedBytes("sessions.token_hash"), nullable=False),
    Column("name_key", Blind("sessions.name_key"), nullable=False),
    Column("name", SealedText("sessions.name"), nullable=False),
    Column("csrf", SealedText("sessions.csrf"), nullable=False),
    _int("created_at"),
    _int("seen_at"),
    Index(None, "name_key"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Int, primary_key=True),
    _int("at"),
    Column("who", SealedText("audit.who"), nullable=False),
    Column("what", SealedText("audit.what"), nullable=False),
    Column("ref", SealedText("audit.ref"), nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Int, primary_key=True),
    _int("at"),
    _bytes("peer"),
    Column("reason", SealedText("quarantine.reason"), nullable=False),
    Column("field", SealedText("quarantine.field"), nullable=False),
    Column("expected", SealedText("quarantine.expected"), nullable=False),
    Column("got", SealedText("quarantine.got"), nullable=False),
    _bytes("envelope_id"),
    _int("size"),
)
