"""Vectors of keys, scopes and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from make_circle import CARRY_SECRET, EPOCH_KEY, GAMMA, ONE, TWO, body, circle_of, id_of
from vector import NOW, bad, good, newer, node, pack, seed

from almenara.crypto.hashing import derive, digest, mac
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

ALPHA, BETA = node("alpha"), node("beta")
CIRCLE, STATEMENT = circle_of(ONE), id_of(ONE)
OWN_NONCE, PEER_NONCE = seed("own nonce"), seed("peer nonce")
OWN_EPOCH, PEER_EPOCH = seed("own log", 16), seed("peer log", 16)


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    yield from _class_keys()
    yield from _packets()
    yield from _scopes()
    yield from _sessions()


def _class_keys() -> Iterator[Vector]:
    for cls in (0, 1):
        where = (CIRCLE, STATEMENT, bytes([cls]))
        key = derive(Label.CLASS_KEY, EPOCH_KEY, *where)
        yield good(
            "class-key",
            f"class-{cls}",
            "what derives from an epoch key",
            {"epoch_key": EPOCH_KEY, "circle": CIRCLE, "statement": STATEMENT, "cls": cls},
            key=key,
            kid=derive(Label.KID, key, *where)[:16],
        )


def packet_slots(**changes: Any) -> dict[str, Any]:
    """Return the slots of a good key packet, alpha's to beta, by name."""
    slots = {
        "ver": 1,
        "circle": CIRCLE,
        "statement": digest(Label.STATEMENT_ID, body(ONE)),
        "number": 1,
        "key": EPOCH_KEY,
        "carry_secret": CARRY_SECRET,
        "recipient": BETA.id,
        "giver": ALPHA.id,
    }
    return slots | changes


BAD_PACKETS = [
    ("wrong-circle", "other-circle", "of another circle", {"circle": bytes(16)}),
    ("wrong-statement", "other-statement", "the next one's hash", {"statement": digest(Label.STATEMENT_ID, body(TWO))}),
    ("wrong-length", "statement-by-id", "16 bytes of the 32", {"statement": STATEMENT}),
    ("wrong-number", "other-number", "2 instead of 1", {"number": 2}),
    ("bad-commit", "other-key", "not the key committed to", {"key": seed("another key")}),
    ("bad-commit", "other-carry-secret", "not the secret committed to", {"carry_secret": seed("another")}),
    ("bad-commit", "secrets-exchanged", "each in the other's place", {"key": CARRY_SECRET, "carry_secret": EPOCH_KEY}),
    ("wrong-recipient", "for-another", "gamma is not this node", {"recipient": GAMMA}),
    ("unknown-author", "given-by-a-stranger", "gamma is no member", {"giver": GAMMA}),
    ("unknown-version", "version-zero", "there was no version 0", {"ver": 0}),
    ("out-of-range", "number-zero", "numbers begin at 1", {"number": 0}),
]


def _packets() -> Iterator[Vector]:
    kind = "key-packet"
    given = {"statement": body(ONE), "own": BETA.id, "giver_op_sign": ALPHA.op.public}
    fields = pack(*packet_slots().values())
    signed = ALPHA.signed(Label.KEY_PACKET, fields)
    yield good(kind, "good", "alpha gives beta the key", given | {"content": signed}, number=1, giver=ALPHA.id)
    for defect, name, about, changes in BAD_PACKETS:
        content = ALPHA.signed(Label.KEY_PACKET, pack(*packet_slots(**changes).values()))
        yield bad(defect, kind, name, about, **given, content=content)
    yield bad(
        "bad-signature",
        kind,
        "signed-by-another",
        "beta's key",
        **given,
        content=BETA.signed(Label.KEY_PACKET, fields),
    )
    yield bad(
        "bad-signature", kind, "signed-as-prekey", "another label", **given, content=ALPHA.signed(Label.PREKEY, fields)
    )
    yield bad(
        "wrong-recipient",
        kind,
        "to-a-stranger",
        "this node is no member",
        **(given | {"own": GAMMA}),
        content=ALPHA.signed(Label.KEY_PACKET, pack(*packet_slots(recipient=GAMMA).values())),
    )
    yield newer(
        "unknown-version", kind, "version-two", "of the future", **given, content=pack(pack(2, "new"), bytes(64))
    )


def proof(key: bytes, prover_nonce: bytes, verifier_nonce: bytes, prover: bytes) -> bytes:
    """Return the proof of one scope."""
    return mac(Label.SCOPE_PROOF, key, prover_nonce, verifier_nonce, prover)[:16]


def _scope_key(week: int) -> bytes:
    return derive(Label.SCOPE_KEY, CARRY_SECRET, week.to_bytes(4, "big"))


def _scopes() -> Iterator[Vector]:
    for week in (0, 2_957):
        key = _scope_key(week)
        yield good(
            "scope",
            f"week-{week}",
            "key, tag and proof of one scope",
            {"carry_secret": CARRY_SECRET, "week": week, "nonces": [OWN_NONCE, PEER_NONCE], "prover": ALPHA.id},
            key=key,
            tag=derive(Label.TAG, key)[:16],
            proof=proof(key, OWN_NONCE, PEER_NONCE, ALPHA.id),
        )


HELLO = pack(1, [1], PEER_NONCE, PEER_EPOCH, NOW + 3)
DECOYS = sorted(seed(f"decoy {number}", 16) for number in range(16))
INTEREST = pack(2, DECOYS)
CURSORS = pack(3, [[0, OWN_EPOCH, 7], [1, OWN_EPOCH, 9]])
OPEN = [HELLO, INTEREST, CURSORS]
PUSH = pack(4, 0, 1, b"an envelope of whatever form")

BAD_FRAMES: list[tuple[str, str, str, list[bytes]]] = [
    ("wrong-order", "interest-first", "HELLO comes first", [INTEREST]),
    ("wrong-order", "hello-twice", "one greeting", [HELLO, HELLO]),
    ("wrong-order", "cursors-before-interest", "scopes first", [HELLO, CURSORS]),
    ("wrong-order", "push-before-cursors", "nothing flows yet", [HELLO, INTEREST, PUSH]),
    ("wrong-order", "have-before-cursors", "nothing flows yet", [HELLO, INTEREST, pack(11, [[1, 1, bytes(32)]])]),
    ("wrong-order", "want-before-cursors", "nothing flows yet", [HELLO, INTEREST, pack(12, [[1, 1]])]),
    ("wrong-order", "credit-before-cursors", "nothing flows yet", [HELLO, INTEREST, pack(13, 1, 1)]),
    ("wrong-order", "cursors-twice", "once in a session", [*OPEN, CURSORS]),
    ("wrong-order", "keys-unasked", "an answer to nothing", [*OPEN, pack(7, CIRCLE, [], [], b"")]),
    ("wrong-order", "push-after-bye", "BYE is the end", [*OPEN, pack(8, 0, 0), PUSH]),
    ("unknown-version", "no-common-version", "the peer speaks 2 and 3", [pack(1, [2, 3], PEER_NONCE, PEER_EPOCH, NOW)]),
    ("not-sorted", "versions-falling", "they rise", [pack(1, [2, 1], PEER_NONCE, PEER_EPOCH, NOW)]),
    ("wrong-count", "no-versions", "at least one", [pack(1, [], PEER_NONCE, PEER_EPOCH, NOW)]),
    ("wrong-length", "nonce-31-bytes", "cut short", [pack(1, [1], PEER_NONCE[1:], PEER_EPOCH, NOW)]),
    ("reflected", "our-nonce", "our own HELLO came back", [pack(1, [1], OWN_NONCE, PEER_EPOCH, NOW)]),
    ("wrong-count", "fifteen-proofs", "a multiple of sixteen", [HELLO, pack(2, DECOYS[1:])]),
    ("wrong-count", "no-proofs", "sixteen at least", [HELLO, pack(2, [])]),
    ("not-sorted", "proofs-falling", "they rise", [HELLO, pack(2, DECOYS[::-1])]),
    ("out-of-range", "lane-two", "two lanes exist", [HELLO, INTEREST, pack(3, [[2, OWN_EPOCH, 0]])]),
    ("repeated", "lane-twice", "one cursor each", [HELLO, INTEREST, pack(3, [[0, OWN_EPOCH, 1], [0, OWN_EPOCH, 2]])]),
    ("out-of-range", "position-past-32-bits", "2^32", [*OPEN, pack(4, 0, 2**32, b"x")]),
    ("out-of-range", "cursor-past-what-was-pushed", "8 after 7", [*OPEN, pack(5, 0, 8, [])]),
    ("out-of-range", "cursor-goes-back", "6 after 7", [*OPEN, pack(5, 0, 6, [])]),
    ("out-of-range", "outcome-of-nothing", "position 8", [*OPEN, pack(5, 0, 7, [[8, 0]])]),
    ("out-of-range", "outcome-four", "0 to 3 exist", [*OPEN, pack(5, 0, 7, [[7, 4]])]),
    ("repeated", "position-twice", "one outcome each", [*OPEN, pack(5, 0, 7, [[7, 0], [7, 1]])]),
    ("wrong-length", "question-without-circle", "16 bytes", [*OPEN, pack(6, b"", b"")]),
    ("unknown-kind", "kind-seventeen", "reserved", [*OPEN, pack(17, b"")]),
    ("out-of-range", "bye-for-two-days", "a day at most", [pack(8, 0, 172_800)]),
    ("not-canonical", "long-form", "0 in two bytes", [b"\x93\x08\xcc\x00\x00"]),
]


def _sessions() -> Iterator[Vector]:
    kind = "session"
    given = {"own": ALPHA.id, "peer": BETA.id, "nonce": OWN_NONCE, "log_epoch": OWN_EPOCH, "now_min": NOW}
    key = _scope_key(2_957)
    tag = derive(Label.TAG, key)[:16]
    shared = pack(2, sorted([*DECOYS[1:], proof(key, PEER_NONCE, OWN_NONCE, BETA.id)]))
    events = ["Greeted", "ScopesProven", "CursorsTold"]
    scopes = given | {"scope_keys": [key]}
    yield good(
        kind,
        "opening",
        "one scope shared, one envelope pushed",
        scopes | {"frames": [HELLO, shared, CURSORS, PUSH]},
        events=[*events, "Pushed"],
        proven=[tag],
    )
    reflected = pack(2, sorted([*DECOYS[1:], proof(key, OWN_NONCE, PEER_NONCE, ALPHA.id)]))
    yield good(
        kind,
        "reflected-proof",
        "our own proof came back: it proves nothing",
        scopes | {"frames": [HELLO, reflected, CURSORS]},
        events=events,
        proven=[],
    )
    by_tag = pack(2, sorted([*DECOYS[1:], tag]))
    yield good(
        kind,
        "tag-as-proof",
        "a tag that everybody saw proves nothing",
        scopes | {"frames": [HELLO, by_tag, CURSORS]},
        events=events,
        proven=[],
    )
    for defect, name, about, frames in BAD_FRAMES:
        yield bad(defect, kind, name, about, **given, scope_keys=[], frames=frames)
