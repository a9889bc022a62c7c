"""The edge cases on which verifiers disagree, built here from the curve; the one verifier's verdict on each is frozen.

The arithmetic is the affine one of RFC 8032, section 5.1, written for reading. It signs with scalars and points that no
honest signer uses. So a signature here satisfies the verification equation, and is refused for its form alone.
"""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from almenara.crypto import signing
from almenara.crypto.errors import SignatureInvalid
from almenara.crypto.signing import SigningKey

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
MESSAGE = b"whoever verifies this says what the others must say"

Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    """Add two points of the twisted Edwards curve."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(scalar: int, point: Point) -> Point:
    """Double and add."""
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def encode(point: Point) -> bytes:
    """Y with the sign of x in the top bit."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def recover(y: int, sign: int) -> Point:
    """Solve the curve's equation for x (RFC 8032, section 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (P - x if x & 1 != sign else x), y


BASE = recover(4 * pow(5, -1, P) % P, 0)


def small_order_points() -> list[Point]:
    """Find the eight points whose eightfold is neutral, as multiples of one of order 8."""
    y = 2
    while True:
        try:
            torsion = multiply(ORDER, recover(y, 0))
        except AssertionError:
            y += 1
            continue
        if multiply(4, torsion) != NEUTRAL:
            return [multiply(n, torsion) for n in range(8)]
        y += 1


SMALL = small_order_points()


def challenge(r: bytes, public: bytes) -> int:
    """Hash R ‖ A ‖ message to a scalar."""
    return int.from_bytes(hashlib.sha512(r + public + MESSAGE).digest(), "little") % ORDER


def signed(secret: int, public: bytes, r_point: Point, nonce: int) -> bytes:
    """R ‖ S with S = nonce + challenge · secret, for any R and public key."""
    r = encode(r_point)
    return r + ((nonce + challenge(r, public) * secret) % ORDER).to_bytes(32, "little")


def refused(public: bytes, signature: bytes) -> bool:
    try:
        signing.verify_unlabelled(public, MESSAGE, signature)
    except SignatureInvalid:
        return True
    return False


SECRET, NONCE = 0x1234567890ABCDEF, 0xFEDCBA0987654321
PUBLIC = encode(multiply(SECRET, BASE))
HONEST = signed(SECRET, PUBLIC, multiply(NONCE, BASE), NONCE)


def test_the_arithmetic_here_is_the_curve() -> None:
    """It gives RFC 8032's first public key, and its honest signature is accepted."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ~7 & ((1 << 254) - 1) | 1 << 254
    assert encode(multiply(scalar, BASE)) == SigningKey.from_seed(seed).public
    assert multiply(ORDER, BASE) == NEUTRAL
    assert len(set(SMALL)) == 8
    assert not refused(PUBLIC, HONEST)


@pytest.mark.parametrize("times", range(1, 15))
def test_a_scalar_not_below_the_order_is_refused(times: int) -> None:
    """S + n · order satisfies the equation too: accepting it would give every signature fifteen forms."""
    scalar = int.from_bytes(HONEST[32:], "little") + times * ORDER
    assert refused(PUBLIC, HONEST[:32] + scalar.to_bytes(32, "little"))


def test_the_order_itself_is_refused_as_scalar() -> None:
    """The first value out of range; S = 0 is in range and wrong here."""
    for scalar in (ORDER, 0, 2**255 - 1, 2**256 - 1):
        assert refused(PUBLIC, HONEST[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("which", range(8))
def test_a_public_key_of_small_order_is_refused(which: int) -> None:
    """Such a key, with S = nonce, would sign one message in eight or every message: nobody stands behind it."""
    public = encode(SMALL[which])
    for nonce in range(1, 40):
        r_point = multiply(nonce, BASE)
        assert refused(public, signed(0, public, r_point, nonce))


def test_a_small_order_key_passes_elsewhere() -> None:
    """With the neutral point as key every message is signed, and OpenSSL agrees: hence one verifier."""
    public = encode(NEUTRAL)
    signature = signed(0, public, multiply(NONCE, BASE), NONCE)
    ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, MESSAGE)
    assert refused(public, signature)


@pytest.mark.parametrize("which", range(8))
def test_a_nonce_point_of_small_order_is_refused(which: int) -> None:
    """R of small order: S = challenge · secret, which satisfies the equation exactly for the neutral point."""
    assert refused(PUBLIC, signed(SECRET, PUBLIC, SMALL[which], 0))


@pytest.mark.parametrize("which", range(1, 8))
def test_a_nonce_point_with_a_small_part_is_refused(which: int) -> None:
    """It satisfies only the equation multiplied by eight, which some verifiers use and this one does not."""
    r_point = add(multiply(NONCE, BASE), SMALL[which])
    assert refused(PUBLIC, signed(SECRET, PUBLIC, r_point, NONCE))


@pytest.mark.parametrize("which", range(1, 8))
def test_a_key_with_a_small_part_is_judged_by_the_plain_equation(which: int) -> None:
    """Accepted just where challenge · small part vanishes, as RFC 8032's equation without the factor eight says."""
    public = encode(add(multiply(SECRET, BASE), SMALL[which]))
    for nonce in range(1, 30):
        r_point = multiply(nonce, BASE)
        vanishes = multiply(challenge(encode(r_point), public), SMALL[which]) == NEUTRAL
        assert refused(public, signed(SECRET, public, r_point, nonce)) is not vanishes


@pytest.mark.parametrize("y", [y for y in range(19) if y not in {2, 7, 8, 11, 12, 13, 17}])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_encoded_beyond_the_field_is_refused(y: int, sign: int) -> None:
    """Y + p names the same point as y; two names for one key would be two nodes."""
    public = (y + P | sign << 255).to_bytes(32, "little")
    assert refused(public, HONEST)
    for nonce in range(1, 10):
        assert refused(public, signed(0, public, multiply(nonce, BASE), nonce))


def test_the_neutral_point_is_refused_in_every_spelling() -> None:
    """Four encodings decode to it in lenient verifiers: with x = 0 marked negative, with y = 1 + p, and both."""
    for y in (1, 1 + P):
        for sign in (0, 1):
            spelling = (y | sign << 255).to_bytes(32, "little")
            assert refused(spelling, signed(0, spelling, multiply(NONCE, BASE), NONCE))
            as_r = spelling + (challenge(spelling, PUBLIC) * SECRET % ORDER).to_bytes(32, "little")
            assert refused(PUBLIC, as_r)


def test_bytes_that_are_no_point_are_refused() -> None:
    """As key and as R."""
    for y in (2, 7, P - 2):
        no_point = y.to_bytes(32, "little")
        with pytest.raises(AssertionError):
            recover(y, 0)
        assert refused(no_point, HONEST)
        assert refused(PUBLIC, no_point + HONEST[32:])
