"""Every label of the protocol: the first bytes of each hash, MAC, KDF and signature input, which say what it is for.

Two uses with two labels can never be confused with each other, whatever follows. The closing zero byte keeps any label
from being the beginning of another. A label, once released, never changes its meaning: a new meaning is a new label.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Label(bytes, Enum):
    """A purpose, in the bytes that begin its input. Being `bytes`, it can be joined with others directly."""

    # Who a node is: hash of its root keys, and the check digits of the written form (SCHEMAS §1).
    NODE_ID = b"almenara/1/node-id\0"
    NODE_ID_CHECK = b"almenara/1/node-id-check\0"

    # What a node says of itself: signatures over cards, prekeys, profiles; names of prekeys and certificates (§1, §2).
    CARD = b"almenara/1/card\0"
    PREKEY = b"almenara/1/prekey\0"
    PREKEY_ID = b"almenara/1/prekey-id\0"
    PROFILE = b"almenara/1/profile\0"
    CERTIFICATE = b"almenara/1/certificate\0"

    # Objects: signature over a header, hash of a header, commitment to a body (PROTOCOL §4).
    OBJECT = b"almenara/1/object\0"
    HEADER_HASH = b"almenara/1/header-hash\0"
    BODY = b"almenara/1/body\0"

    # Circles: names of statements and circles, commitments to their secrets, class keys and their names (PROTOCOL §5).
    STATEMENT_ID = b"almenara/1/statement-id\0"
    CIRCLE_ID = b"almenara/1/circle-id\0"
    KEY_COMMIT = b"almenara/1/key-commit\0"
    CARRY_COMMIT = b"almenara/1/carry-commit\0"
    CLASS_KEY = b"almenara/1/class-key\0"
    KID = b"almenara/1/kid\0"

    # Scopes: weekly key, the tag peers see, proof that a peer holds the key (PROTOCOL §6).
    SCOPE_KEY = b"almenara/1/scope-key\0"
    TAG = b"almenara/1/tag\0"
    SCOPE_PROOF = b"almenara/1/scope-proof\0"
    CARRY_DECOY = b"almenara/1/carry-decoy\0"  # keys of no scope, that stand among those a carrier is given

    # Repair: the key of a session, digests of an hour and of a set, root of all sets, range, short id (PROTOCOL §6).
    REPAIR_KEY = b"almenara/1/repair-key\0"
    REPAIR_HOUR = b"almenara/1/repair-hour\0"
    REPAIR_SET = b"almenara/1/repair-set\0"
    REPAIR_ROOT = b"almenara/1/repair-root\0"
    REPAIR_RANGE = b"almenara/1/repair-range\0"
    REPAIR_ID = b"almenara/1/repair-id\0"

    # Discovery: by what the two of a pair know each other on a local network, for one hour (SPEC §13).
    DISCOVERY_TAG = b"almenara/1/discovery-tag\0"

    # Envelopes: their id, the beginning of HPKE's info, the signature inside a key packet (PROTOCOL §4, §5.8).
    ENVELOPE_ID = b"almenara/1/envelope-id\0"
    ENVELOPE_INFO = b"almenara/1/envelope-info\0"
    KEY_PACKET = b"almenara/1/key-packet\0"

    # Pairing on line: hashes, keys, signatures and codes of the five steps (PROTOCOL §3).
    PAIR_INVITATION = b"almenara/1/pair-invitation\0"
    PAIR_KEY = b"almenara/1/pair-key\0"
    PAIR_ID = b"almenara/1/pair-id\0"
    PAIR_COMMIT = b"almenara/1/pair-commit\0"
    PAIR_TRANSCRIPT = b"almenara/1/pair-transcript\0"
    PAIR_SIGN = b"almenara/1/pair-sign\0"
    PAIR_CODE = b"almenara/1/pair-code\0"
    PAIR_CONFIRM_KEY = b"almenara/1/pair-confirm-key\0"
    PAIR_CONFIRM = b"almenara/1/pair-confirm\0"
    PAIR_MAC = b"almenara/1/pair-mac\0"

    # Pairing by files: signature over an offer, and the 60 digits of two offers (PROTOCOL §3, last paragraph).
    FILE_PAIR_SIGN = b"almenara/1/file-pair-sign\0"
    FILE_PAIR_CODE = b"almenara/1/file-pair-code\0"

    # Bundles: HPKE's info, the key of the stream, the sender's signature (DESIGN §6).
    BUNDLE_INFO = b"almenara/1/bundle-info\0"
    BUNDLE_STREAM = b"almenara/1/bundle-stream\0"
    BUNDLE_SIGN = b"almenara/1/bundle-sign\0"

    # At rest: the vault's seals, key-encryption key and checksum; keys of database and columns (DESIGN §3, SCHEMAS §5).
    VAULT = b"almenara/1/vault\0"
    VAULT_KEY = b"almenara/1/vault-key\0"
    VAULT_SUM = b"almenara/1/vault-sum\0"
    DATABASE_KEY = b"almenara/1/database-key\0"
    COLUMN_KEY = b"almenara/1/column-key\0"
    COLUMN = b"almenara/1/column\0"

    # Tokens: what the database keeps in place of a session's or an API client's token.
    TOKEN = b"almenara/1/token\0"
