"""Vectors of pairing: invitations, the messages of both sides, confirmations, and pairing by files."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from vector import NOW, Node, bad, good, newer, node, pack, seed, share

from almenara.crypto.codes import long_code, short_code
from almenara.crypto.hashing import derive, digest, digest512, mac
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector import Vector

ALPHA, BETA, GAMMA = node("alpha"), node("beta"), node("gamma")
SECRET = seed("invitation secret", 16)
INVITER, JOINER = b"\1", b"\2"
NONCES = seed("nonces of the inviter", 160)
NONCE_A, NONCE_B = NONCES[:32], seed("nonce of the joiner")
ID = derive(Label.PAIR_ID, SECRET, length=16)


def invitation_fields(**changes: Any) -> list[Any]:
    """Return the slots of alpha's invitation, with changes."""
    fields = {
        "ver": 1,
        "node_id": ALPHA.id,
        "tls_digest": digest(Label.CERTIFICATE, ALPHA.certificate),
        "secret": SECRET,
        "expiry": NOW + 1440,
        "endpoint": "127.0.0.1:7790",
    }
    return list((fields | changes).values())


def link(data: bytes) -> str:
    """Return the link of an invitation's bytes."""
    return "almenara:" + base64.b32encode(data).decode().rstrip("=").lower()


INVITATION = pack(*invitation_fields())


def message(step: int, direction: bytes, *fields: bytes, secret: bytes = SECRET) -> bytes:
    """Return a pairing message."""
    payload = pack(*fields)
    return pack(step, payload, mac(Label.PAIR_MAC, derive(Label.PAIR_KEY, secret), bytes((step,)), direction, payload))


class Talk:
    """An honest conversation of alpha and a joiner, every value of it."""

    def __init__(self, joiner: Node, invitation: bytes = INVITATION) -> None:
        self.intro_a, self.intro_b = ALPHA.introduction(), joiner.introduction()
        self.commitment = digest(Label.PAIR_COMMIT, NONCE_B, self.intro_b)
        heads = (digest(Label.PAIR_INVITATION, invitation), self.commitment)
        self.transcript = digest(Label.PAIR_TRANSCRIPT, *heads, NONCE_A, self.intro_a, NONCE_B, self.intro_b)
        self.sig_a = ALPHA.op.sign(Label.PAIR_SIGN, INVITER + self.transcript)
        self.sig_b = joiner.op.sign(Label.PAIR_SIGN, JOINER + self.transcript)
        self.code = short_code(derive(Label.PAIR_CODE, self.transcript))
        self.commit = message(1, JOINER, ID, self.commitment)
        self.card = message(2, INVITER, NONCE_A, self.intro_a)
        self.reveal = message(3, JOINER, NONCE_B, self.intro_b, self.sig_b)
        self.signature = message(4, INVITER, self.sig_a)

    def confirm(self, direction: bytes) -> bytes:
        """Return the CONFIRM message of one side."""
        key = derive(Label.PAIR_CONFIRM_KEY, SECRET, self.transcript)
        return message(5, direction, ID, mac(Label.PAIR_CONFIRM, key, direction))


TALK = Talk(BETA)
AS_INVITER: dict[str, Any] = {
    "side": "inviter",
    "invitation": link(INVITATION),
    "introduction": TALK.intro_a,
    "op_seed": ALPHA.op.seed,
    "nonces": NONCES,
    "now_min": NOW,
}
AS_JOINER: dict[str, Any] = {
    "side": "joiner",
    "invitation": link(INVITATION),
    "introduction": TALK.intro_b,
    "op_seed": BETA.op.seed,
    "nonces": NONCE_B,
}


def vectors() -> Iterator[Vector]:
    """Yield the vectors of this file."""
    for name in ("commit", "card", "reveal", "signature"):
        share(f"pairing.{name}", getattr(TALK, name))
    yield from _invitations()
    yield from _inviter()
    yield from _joiner()
    yield from _files()


def _invitations() -> Iterator[Vector]:
    fields = {
        "node_id": ALPHA.root.node_id.text,
        "tls_digest": digest(Label.CERTIFICATE, ALPHA.certificate),
        "secret": SECRET,
        "expiry": NOW + 1440,
        "endpoint": "127.0.0.1:7790",
        "id": ID,
    }
    good_link = link(INVITATION)
    yield good("invitation", "good", "as a person pastes it", {"link": good_link}, **fields)
    yield good("invitation", "in-capitals", "as a QR code may hold it", {"link": good_link.upper()}, **fields)
    cases = [
        ("bad-form", "other-scheme", "https", good_link.replace("almenara:", "https://")),
        ("bad-form", "padded", "base32 padding is left out", good_link + "="),
        ("bad-form", "digit-one", "1 is no base32 letter", good_link[:-1] + "1"),
        ("bad-form", "spare-bits", "bits beyond the last byte", good_link[:-1] + _next_letter(good_link[-1])),
        ("malformed", "cut-short", "half a link", good_link[: len(good_link) // 2 // 8 * 8 + 9]),
        ("wrong-length", "secret-15-bytes", "16 are needed", link(pack(*invitation_fields(secret=SECRET[:-1])))),
        ("bad-form", "endpoint-without-port", "a host alone", link(pack(*invitation_fields(endpoint="a.example")))),
    ]
    for defect, name, about, text in cases:
        yield bad(defect, "invitation", name, about, link=text)
    future = link(pack(2, "new"))
    yield newer("unknown-version", "invitation", "version-two", "of the future", link=future)


def _next_letter(letter: str) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return alphabet[alphabet.index(letter) + 1]


def _inviter() -> Iterator[Vector]:
    yield good(
        "pairing",
        "inviter-whole",
        "alpha's answers to beta, and the code",
        AS_INVITER | {"messages": [TALK.commit, TALK.reveal]},
        replies=[TALK.card, TALK.signature],
        code=TALK.code,
        state="comparing",
        confirmation=TALK.confirm(INVITER),
    )
    yield good(
        "pairing",
        "inviter-confirmed",
        "beta confirms twice, alpha once",
        AS_INVITER | {"messages": [TALK.commit, TALK.reveal, TALK.confirm(JOINER), TALK.confirm(JOINER)]},
        replies=[TALK.card, TALK.signature, b"", b""],
        code=TALK.code,
        state="comparing",
        confirmation=TALK.confirm(INVITER),
    )
    yield good(
        "pairing",
        "inviter-answers-a-reveal-again",
        "the signature was lost on the way",
        AS_INVITER | {"messages": [TALK.commit, TALK.reveal, TALK.reveal]},
        replies=[TALK.card, TALK.signature, TALK.signature],
        code=TALK.code,
        state="comparing",
        confirmation=TALK.confirm(INVITER),
    )
    other = Talk(GAMMA)
    unsigned = message(3, JOINER, NONCE_B, TALK.intro_b, BETA.op.sign(Label.PAIR_SIGN, INVITER + TALK.transcript))
    swapped = message(3, JOINER, NONCE_B, other.intro_b, other.sig_b)
    ground = message(3, JOINER, seed("ground"), TALK.intro_b, TALK.sig_b)
    foreign_mac = message(1, JOINER, ID, TALK.commitment, secret=seed("another secret", 16))
    other_id = message(1, JOINER, seed("another id", 16), TALK.commitment)
    own_card = message(3, JOINER, NONCE_B, TALK.intro_a, TALK.sig_a)
    commit_to_own = message(1, JOINER, ID, digest(Label.PAIR_COMMIT, NONCE_B, TALK.intro_a))
    cases = [
        ("bad-mac", "commit-without-the-secret", "made with another secret", [foreign_mac]),
        ("reflected", "own-message-comes-back", "alpha's card message", [TALK.commit, TALK.card]),
        ("wrong-invitation", "commit-to-another-invitation", "another id", [other_id]),
        ("wrong-order", "reveal-before-commit", "nothing was committed to", [TALK.reveal]),
        ("wrong-order", "confirm-before-code", "there is no code yet", [TALK.commit, "confirm"]),
        (
            "wrong-order",
            "commit-while-comparing",
            "no second attempt meanwhile",
            [TALK.commit, TALK.reveal, TALK.commit],
        ),
        ("bad-commit", "swapped-card", "gamma's card behind beta's commitment", [TALK.commit, swapped]),
        ("bad-commit", "ground-nonce", "a nonce chosen after alpha's was seen", [TALK.commit, ground]),
        ("bad-signature", "signed-in-the-other-role", "as if beta had invited", [TALK.commit, unsigned]),
        ("reflected", "own-card-comes-back", "alpha's card from beta's side", [commit_to_own, own_card]),
        ("too-many-attempts", "sixth-attempt", "five are allowed", [TALK.commit] * 6),
        ("bad-confirm", "confirm-of-another-transcript", "gamma's", [TALK.commit, TALK.reveal, other.confirm(JOINER)]),
        ("out-of-range", "step-six", "five steps exist", [message(6, JOINER, ID)]),
        ("wrong-length", "nonce-31-bytes", "cut short", [TALK.commit, message(3, JOINER, NONCE_B[1:], b"", bytes(64))]),
    ]
    for defect, name, about, messages in cases:
        sent = [TALK.confirm(JOINER) if one == "confirm" else one for one in messages]
        yield bad(defect, "pairing", f"inviter-{name}", about, **(AS_INVITER | {"messages": sent}))
    late = AS_INVITER | {"now_min": NOW + 1440, "messages": [TALK.commit]}
    yield bad("expired", "pairing", "inviter-invitation-expired", "at its very minute", **late)


def _joiner() -> Iterator[Vector]:
    yield good(
        "pairing",
        "joiner-whole",
        "beta's opening and answers, and the code",
        AS_JOINER | {"messages": [TALK.card, TALK.signature, TALK.confirm(INVITER)]},
        opening=TALK.commit,
        replies=[TALK.reveal, b"", b""],
        code=TALK.code,
        state="comparing",
        confirmation=TALK.confirm(JOINER),
    )
    other_node = message(2, INVITER, NONCE_A, GAMMA.introduction())
    other_certificate = pack(ALPHA.card(tls_cert=GAMMA.certificate), ALPHA.profile(), ALPHA.signed_prekey())
    revoked = pack(ALPHA.card(status=2), ALPHA.profile(), ALPHA.signed_prekey())
    cases = [
        ("wrong-node", "card-of-another-node", "gamma answers for alpha", [other_node]),
        ("bad-certificate", "card-with-another-certificate", "not the invitation's", [_card(other_certificate)]),
        ("revoked", "card-revoked", "alpha is no more", [_card(revoked)]),
        ("reflected", "own-opening-comes-back", "beta's commitment", [TALK.commit]),
        ("reflected", "own-card-comes-back", "beta's introduction from alpha's side", [_card(TALK.intro_b)]),
        ("wrong-order", "signature-before-card", "nothing was revealed", [TALK.signature]),
        ("bad-signature", "signature-of-joiner-role", "in beta's role", [TALK.card, message(4, INVITER, TALK.sig_b)]),
        ("bad-mac", "signature-with-broken-mac", "one bit", [TALK.card, TALK.signature[:-1] + b"\xff"]),
    ]
    for defect, name, about, messages in cases:
        yield bad(defect, "pairing", f"joiner-{name}", about, **(AS_JOINER | {"messages": messages}))


def _card(introduction: bytes) -> bytes:
    return message(2, INVITER, NONCE_A, introduction)


def _offer(one: Node, signer: Node | None = None, name: str = "offer") -> bytes:
    introduction, nonce = one.introduction(), seed(f"{one.name} {name}")
    return pack(1, introduction, nonce, (signer or one).op.sign(Label.FILE_PAIR_SIGN, nonce + introduction))


def _files() -> Iterator[Vector]:
    kind = "pairing-files"
    first, second = share("alpha.offer", _offer(ALPHA)), share("beta.offer", _offer(BETA))
    low, high = (first, second) if ALPHA.id < BETA.id else (second, first)
    code = long_code(digest512(Label.FILE_PAIR_CODE, low, high))
    yield good(kind, "good", "60 digits", {"own": first, "other": second}, code=code)
    yield good(kind, "other-way-round", "the same 60 digits", {"own": second, "other": first}, code=code)
    forged = _offer(BETA, signer=GAMMA)
    yield bad("bad-signature", kind, "signed-by-another", "gamma's key on beta's card", own=first, other=forged)
    yield bad("reflected", kind, "own-file-comes-back", "alpha twice", own=first, other=_offer(ALPHA, name="again"))
