"""Vectors of cards, profiles, prekeys, introductions, and of which card follows which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vector import NOW, bad, good, newer, node, pack, seed, share

from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

ALPHA, BETA = node("alpha"), node("beta")

BAD_CARDS = [
    ("out-of-range", "counter-zero", "counters begin at 1", {"counter": 0}),
    ("out-of-range", "counter-past-32-bits", "2^32", {"counter": 2**32}),
    ("wrong-length", "root-keys-one-byte-short", "1,983 bytes", {"root_pks": ALPHA.root.public.raw[:-1]}),
    ("wrong-length", "certificate-too-long", "513 bytes", {"tls_cert": bytes(513)}),
    ("bad-certificate", "certificate-is-none", "bytes that are no certificate", {"tls_cert": seed("none", 300)}),
    ("bad-form", "endpoint-in-capitals", "an endpoint has one spelling", {"endpoints": ["Example.org:7790"]}),
    ("bad-form", "endpoint-without-port", "a host alone", {"endpoints": ["example.org"]}),
    ("out-of-range", "endpoint-port-too-high", "port 65536", {"endpoints": ["example.org:65536"]}),
    ("wrong-count", "nine-endpoints", "eight at most", {"endpoints": [f"10.0.0.{n}:1" for n in range(9)]}),
    ("not-sorted", "suites-not-rising", "0x0201 before 0x0101", {"suites": [0x0201, 0x0101]}),
    ("not-sorted", "suite-twice", "0x0101 and again", {"suites": [0x0101, 0x0101]}),
    ("wrong-count", "no-suite", "a node that understands nothing", {"suites": []}),
    ("out-of-range", "expires-when-issued", "a card without life", {"expires": NOW}),
    ("out-of-range", "status-three", "1 and 2 exist", {"status": 3}),
    ("out-of-range", "previous-op-three", "0, 1 and 2 exist", {"previous_op": 3}),
    ("wrong-type", "counter-is-boolean", "true is no 1", {"counter": True}),
    ("unknown-version", "version-zero", "there was no version 0", {"ver": 0}),
]

BAD_PROFILES = [
    ("wrong-length", "name-empty", "every node has a name", {"name": ""}),
    ("wrong-length", "name-81-bytes", "41 letters, 81 bytes of UTF-8", {"name": "é" * 40 + "x"}),
    ("not-nfc", "name-decomposed", "e and a combining acute accent", {"name": "e\u0301"}),
    ("control-character", "name-with-newline", "a name is one line", {"name": "al\npha"}),
    ("control-character", "name-with-delete", "U+007F", {"name": "al\x7fpha"}),
    ("control-character", "name-with-c1", "U+0085, a newline to some readers", {"name": "al\x85pha"}),
    ("wrong-type", "name-as-bytes", "text is not bytes", {"name": b"alpha"}),
    ("bad-form", "kind-with-space", "a code has no spaces", {"kind": "an organisation"}),
    ("bad-form", "country-in-small-letters", "two capital letters or nothing", {"land": "ke"}),
    ("wrong-length", "node-id-one-byte-short", "31 bytes", {"node_id": bytes(31)}),
]


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _cards()
    yield from _profiles()
    yield from _prekeys()
    yield from _introductions()
    yield from _successions()
    yield from _old_keys()


def _cards() -> Iterator[Vector]:
    card = share("alpha.card", ALPHA.card())
    fields = pack(*ALPHA.card_fields())
    signature = ALPHA.root_sign(fields)
    yield good(
        "card",
        "good",
        "both root signatures verify",
        {"card": card},
        node_id=ALPHA.root.node_id.text,
        counter=1,
        op_sign=ALPHA.op.public,
        tls_digest=digest(Label.CERTIFICATE, ALPHA.certificate),
        endpoints=["127.0.0.1:7790"],
        suites=[0x0101, 0x0201],
        issued=NOW,
        expires=NOW + 525_600,
        status="active",
        previous_op="none",
    )
    for defect, name, about, change in BAD_CARDS:
        yield bad(defect, "card", name, about, card=ALPHA.card(**change))
    broken = bytearray(signature)
    broken[0] ^= 1
    yield bad("bad-signature", "card", "ed25519-broken", "ML-DSA alone is not enough", card=pack(fields, bytes(broken)))
    broken = bytearray(signature)
    broken[-1] ^= 1
    yield bad("bad-signature", "card", "mldsa-broken", "Ed25519 alone is not enough", card=pack(fields, bytes(broken)))
    yield bad(
        "bad-signature",
        "card",
        "signed-by-another-root",
        "another node's roots",
        card=pack(fields, BETA.root_sign(fields)),
    )
    yield bad(
        "wrong-count",
        "card",
        "a-slot-too-many",
        "twelve slots in version 1",
        card=_signed_card(*ALPHA.card_fields(), 0),
    )
    yield newer("unknown-version", "card", "version-two", "a card of the future", card=_signed_card(2, b"new"))


def _signed_card(*slots: object) -> bytes:
    fields = pack(*slots)
    return pack(fields, ALPHA.root_sign(fields))


def _profiles() -> Iterator[Vector]:
    op_sign = ALPHA.op.public
    yield good(
        "profile",
        "good",
        "a name of 80 bytes",
        {"profile": ALPHA.profile(name="é" * 40), "op_sign": op_sign},
        node_id=ALPHA.root.node_id.text,
        issued=NOW,
        name="é" * 40,
        kind="organisation",
        country="KE",
    )
    yield good(
        "profile",
        "without-country",
        "a node need not say where it is, and a kind may be unknown here",
        {"profile": ALPHA.profile(land="", kind="something.new"), "op_sign": op_sign},
        node_id=ALPHA.root.node_id.text,
        issued=NOW,
        name="alpha",
        kind="something.new",
        country="",
    )
    for defect, name, about, change in BAD_PROFILES:
        yield bad(defect, "profile", name, about, profile=ALPHA.profile(**change), op_sign=op_sign)
    yield bad("bad-signature", "profile", "signed-by-another", "another key", profile=BETA.profile(), op_sign=op_sign)
    prekey_label = ALPHA.signed(Label.PREKEY, pack(*ALPHA.profile_fields()))
    yield bad("bad-signature", "profile", "signed-as-prekey", "another label", profile=prekey_label, op_sign=op_sign)
    yield newer(
        "unknown-version", "profile", "version-two", "of the future", profile=ALPHA.profile(ver=2), op_sign=op_sign
    )


def _prekeys() -> Iterator[Vector]:
    op_sign = ALPHA.op.public
    yield good(
        "prekey",
        "good",
        "its key id is a hash of the public key",
        {"prekey": ALPHA.signed_prekey(), "op_sign": op_sign},
        node_id=ALPHA.root.node_id.text,
        public=ALPHA.prekey.public,
        issued=NOW,
        kid=digest(Label.PREKEY_ID, ALPHA.prekey.public)[:16],
    )
    short = ALPHA.signed_prekey(public=ALPHA.prekey.public[:-1])
    yield bad("wrong-length", "prekey", "public-one-byte-short", "1,215 bytes", prekey=short, op_sign=op_sign)
    foreign = BETA.signed_prekey()
    yield bad("bad-signature", "prekey", "signed-by-another", "another key", prekey=foreign, op_sign=op_sign)
    old = ALPHA.signed_prekey(ver=0)
    yield bad("unknown-version", "prekey", "version-zero", "there was no version 0", prekey=old, op_sign=op_sign)
    negative = ALPHA.signed_prekey(issued=-1)
    yield bad("out-of-range", "prekey", "issued-before-1970", "minute -1", prekey=negative, op_sign=op_sign)


def _introductions() -> Iterator[Vector]:
    whole = share("alpha.introduction", ALPHA.introduction())
    share("beta.introduction", BETA.introduction())
    yield good(
        "introduction",
        "good",
        "card, profile and prekey of one node",
        {"introduction": whole},
        node_id=ALPHA.root.node_id.text,
        name="alpha",
        kid=digest(Label.PREKEY_ID, ALPHA.prekey.public)[:16],
    )
    borrowed = pack(ALPHA.card(op_sign_pk=BETA.op.public), BETA.profile(), BETA.signed_prekey())
    yield bad(
        "wrong-node",
        "introduction",
        "borrowed-operational-key",
        "alpha's card names beta's key, and beta's profile and prekey stand beside it",
        introduction=borrowed,
    )
    mixed = pack(ALPHA.card(), ALPHA.profile(), BETA.signed_prekey())
    yield bad("bad-signature", "introduction", "prekey-of-another", "beta's prekey", introduction=mixed)
    yield bad(
        "wrong-count",
        "introduction",
        "without-prekey",
        "two of three",
        introduction=pack(ALPHA.card(), ALPHA.profile()),
    )


def _successions() -> Iterator[Vector]:
    third, fourth = ALPHA.card(counter=3), ALPHA.card(counter=4)
    rival = ALPHA.card(counter=3, issued=NOW + 1)
    revoked = ALPHA.card(counter=2, status=2)
    cases = [
        ("higher-counter", "a newer card", third, fourth, "accept"),
        ("same-card", "the card that is held", third, third, "same"),
        ("lower-counter", "an older card never comes back", fourth, third, "lower"),
        ("one-counter-twice", "two cards with one counter block the node", third, rival, "conflict"),
        ("revoked-with-lower-counter", "revocation counts whatever the counter", fourth, revoked, "accept"),
        ("after-revocation", "no later card counts", revoked, fourth, "terminal"),
    ]
    for name, about, held, received, verdict in cases:
        yield good("succession", name, about, {"held": held, "received": received}, verdict=verdict)


def _old_keys() -> Iterator[Vector]:
    kind, day = "old-key", 1440
    key = seed("new operational key")
    retired = ALPHA.card(counter=2, op_sign_pk=key, previous_op=1)
    compromised = ALPHA.card(counter=2, op_sign_pk=key, previous_op=2)
    after = ALPHA.card(counter=3, op_sign_pk=seed("third key"), previous_op=1)
    unsaid = ALPHA.card(counter=2, op_sign_pk=key)
    revoked = ALPHA.card(counter=2, status=2)
    before = {"signer": ALPHA.card(), "created_min": NOW - 1, "arrived_min": NOW + 35 * day}
    yield good(kind, "retired-in-time", "created before, arrived on day 35", before | {"later": [retired]})
    yield good(kind, "same-key", "a new card with the same key", before | {"later": [ALPHA.card(counter=4)]})
    cases = [
        ("retired-too-late", "a minute after day 35", {"later": [retired], "arrived_min": NOW + 35 * day + 1}),
        ("retired-created-after", "created at the very minute", {"later": [retired], "created_min": NOW}),
        ("compromised", "nothing new counts", {"later": [compromised]}),
        ("compromised-then-retired", "the strictest card decides", {"later": [compromised, after]}),
        ("replaced-without-a-word", "another key, and previous_op 0", {"later": [unsaid]}),
    ]
    for name, about, change in cases:
        yield bad("old-key", kind, name, about, **(before | change))
    yield bad("revoked", kind, "revoked", "nothing new counts", **(before | {"later": [revoked]}))
