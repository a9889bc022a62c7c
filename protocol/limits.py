"""Every limit of the wire format, with its unit and its reason.  SPEC.md repeats them beside the fields they bind."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1  # of every structure in this version of the protocol

# Codec
MAX_DEPTH: Final = 4  # arrays around an array; a statement's cuts need exactly four
MAX_ITEMS: Final = 1024  # items of any array: 100 circles x 7 weeks of proofs with their decoys fit
MAX_FRAME: Final = 81_920  # bytes of one session frame: a 65,536-byte envelope and room for the KEYS message
UINT16: Final = 2**16 - 1
UINT32: Final = 2**32 - 1  # widest integer: every database and language holds it; minutes to the year 10,136

# Values that many structures share, in bytes
NODE_ID_BYTES: Final = 32
ID_BYTES: Final = 16  # circles, statements, alerts, incarnations, key ids, tags
HASH_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64  # Ed25519
PUBLIC_KEY_BYTES: Final = 32  # Ed25519
SALT_BYTES: Final = 32
NONCE_BYTES: Final = 32  # of HELLO and of pairing
MAC_BYTES: Final = 32

# Time, in the unit the name says
MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 24 * MINUTES_PER_HOUR
HOURS_PER_DAY: Final = 24
CLASS_DAYS: Final = (7, 35)  # days an envelope of class 0 and class 1 travels
MAX_RETENTION_DAYS: Final = 366

# Envelope, in bytes
SMALL, MEDIUM, LARGE = 4_096, 16_384, 65_536
SIZES: Final = (SMALL, MEDIUM, LARGE)  # few sizes tell little; an alert always has the smallest

# Object
MAX_CONTENT: Final = 65_444  # bytes of an encoded object: the room of the largest envelope under a circle key
MAX_HEADER: Final = 512  # bytes; the fields allow at most 299

# Cards, profiles, prekeys
ROOT_PUBLIC_BYTES: Final = 32 + 1_952  # Ed25519, then ML-DSA-65
ROOT_SIGNATURE_BYTES: Final = 64 + 3_309  # the same order
PREKEY_BYTES: Final = 1_184 + 32  # X-Wing: ML-KEM-768, then X25519
MAX_CERTIFICATE: Final = 512  # bytes of DER; ours have about 400
MAX_ENDPOINTS: Final = 8
MAX_ENDPOINT: Final = 260  # bytes: the longest DNS name, a colon, five digits
MAX_SUITES: Final = 16
MAX_CARD: Final = 12_288  # bytes of a signed card: with its object's header it fits a 16,384-byte envelope
MAX_PROFILE: Final = 512  # bytes of a signed profile
MAX_PREKEY: Final = 2_048  # bytes of a signed prekey
MAX_INTRODUCTION: Final = MAX_CARD + MAX_PROFILE + MAX_PREKEY + 64  # bytes of card, profile and prekey together
MAX_NAME: Final = 80  # bytes of a node's or a circle's name
MAX_CODE: Final = 64  # bytes of a vocabulary code
OLD_KEY_DAYS: Final = 35  # how long what a retired operational key signed may still arrive: the longest class
PREKEY_NEW_DAYS: Final = 7  # a new prekey every so many days
PREKEY_USE_DAYS: Final = 35  # others may seal to it so long
PREKEY_KEEP_DAYS: Final = 37  # after that its seed is kept so long (class 1 and two days), then destroyed

# Pairing
PAIRING_SECRET_BYTES: Final = 16
MAX_INVITATION: Final = 512  # bytes of an encoded invitation
MAX_PAIRING_MESSAGE: Final = 20_480  # bytes: what an unpaired connection may send at most
PAIRING_ATTEMPTS: Final = 5  # a middleman's chance to hit the code stays below 5 in 10**12
INVITATION_MINUTES: Final = MINUTES_PER_DAY  # longest life of an invitation

# Alert body
ALERT_SCHEMA: Final = 1
# Bytes of a body. An alert always has a 4,096-byte envelope, whose room of 4,004 bytes also holds a header of at most
# 299, a signature of 64, a salt of 32 and the lengths of these four.
MAX_ALERT_BODY: Final = 3_584
MAX_THREATS: Final = 6
MAX_RESPONSES: Final = 8  # requests, and offers
MAX_ALERT_TEXT: Final = 1_200  # bytes of redacted text: it leaves room for every coded slot at its longest
FINEST_CELL: Final = 6  # H3 resolution: 36 km² on average
