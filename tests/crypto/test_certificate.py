"""TLS certificates: one form, for any key; everything else refused with one typed error."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import NameOID

from almenara.crypto import certificate
from almenara.crypto.certificate import (
    TlsIdentity,
    certificate_digest,
    check_certificate,
    der_to_pem,
    make_tls_identity,
)
from almenara.crypto.errors import CertificateMalformed
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = b"\0pass\0word\xff" + bytes(range(32))
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
IDENTITY = make_tls_identity(PASSWORD)


def build(*, signer: Any = KEY, algorithm: Any = None, extensions: Any = None, **changes: Any) -> bytes:
    """Make a certificate as ours is made, with the given changes, properly signed."""
    fields: dict[str, Any] = {
        "issuer_name": certificate._NAME,
        "subject_name": certificate._NAME,
        "public_key": KEY.public_key(),
        "serial_number": 1 << 120,
        "not_valid_before": certificate._NOT_BEFORE,
        "not_valid_after": certificate._NOT_AFTER,
    }
    builder = x509.CertificateBuilder(**(fields | changes))
    for value, critical in our_extensions() if extensions is None else extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(signer, algorithm).public_bytes(serialization.Encoding.DER)


def our_extensions(ski_of: Any = KEY, aki_of: Any = KEY) -> list[tuple[Any, bool]]:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(ski_of.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(aki_of.public_key()), False),
    ]


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def refused(der: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        check_certificate(der)


def test_our_certificates_pass() -> None:
    """Small enough for a card; each with a key and serial number of its own."""
    other = make_tls_identity(PASSWORD)
    for identity in (IDENTITY, other):
        assert len(identity.cert_der) == certificate.CERTIFICATE_BYTES <= 512
        check_certificate(identity.cert_der)
    check_certificate(build())
    one, two = (x509.load_der_x509_certificate(made.cert_der) for made in (IDENTITY, other))
    assert one.public_key() != two.public_key()
    assert one.serial_number != two.serial_number


def test_the_one_form_byte_by_byte() -> None:
    """The certificate of the seed 00 01 … 1f with serial number 2¹²⁰, for other implementations."""
    known = bytes.fromhex(
        "3082012d3081e0a003020102021001000000000000000000000000000000300506032b6570300f310d300b06035504030c04"
        "6e6f64653020170d3730303130313030303030305a180f39393939313233313233353935395a300f310d300b06035504030c"
        "046e6f6465302a300506032b657003210003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8a3"
        "50304e300c0603551d130101ff04023000301d0603551d0e04160414fd81a6db64d6faf7f702c07971a82c25c1dc3c90301f"
        "0603551d23041830168014fd81a6db64d6faf7f702c07971a82c25c1dc3c90300506032b6570034100f20fafffdc21a18540"
        "b7700fa4121233d52ba431ad0da5dead828270d59e6ee8d50614251fc1ccef104d19a449f6af3bd0fbe3f3e2edee8e284385"
        "817e231b00"
    )
    assert build() == known
    check_certificate(known)


def test_certificate_says_nothing_about_the_node() -> None:
    """The generic name, dates that are no dates, three extensions."""
    made = x509.load_der_x509_certificate(IDENTITY.cert_der)
    assert made.subject.rfc4514_string() == made.issuer.rfc4514_string() == "CN=node"
    assert made.not_valid_before_utc.isoformat() == "1970-01-01T00:00:00+00:00"
    assert made.not_valid_after_utc.isoformat() == "9999-12-31T23:59:59+00:00"
    assert {extension.oid._name for extension in made.extensions} == {
        "basicConstraints",
        "subjectKeyIdentifier",
        "authorityKeyIdentifier",
    }


def test_key_is_encrypted_under_the_password() -> None:
    """Nothing opens without it, and the password may hold any byte."""
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in IDENTITY.pem
    assert IDENTITY.pem.count(b"PRIVATE KEY-----") == 2
    key = serialization.load_pem_private_key(IDENTITY.pem[IDENTITY.pem.index(b"-----BEGIN ENC") :], PASSWORD)
    assert key.public_key() == x509.load_der_x509_certificate(IDENTITY.cert_der).public_key()
    for wrong in (PASSWORD[:-1], PASSWORD[5:], b"x"):
        with pytest.raises(ValueError):  # one in 256 gives good padding, and then junk
            serialization.load_pem_private_key(IDENTITY.pem[IDENTITY.pem.index(b"-----BEGIN ENC") :], wrong)


def test_standard_library_loads_it(tmp_path: Path) -> None:
    """From a file, with the password; a wrong one is refused; the pin loads as text."""
    path = tmp_path / "tls.pem"
    path.write_bytes(IDENTITY.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, password=PASSWORD)
    context.load_verify_locations(cadata=der_to_pem(IDENTITY.cert_der))
    assert context.get_ca_certs(binary_form=True) in ([], [IDENTITY.cert_der])
    with pytest.raises(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=b"wrong")


def context(side: int, own: TlsIdentity, peers: list[TlsIdentity], path: Path) -> ssl.SSLContext:
    path.write_bytes(own.pem)
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_cert_chain(path, password=PASSWORD)
    for peer in peers:
        made.load_verify_locations(cadata=der_to_pem(peer.cert_der))
    return made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """Shake hands in memory; what the server saw as the client's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[1].getpeercert(binary_form=True)


def test_each_of_several_pinned_peers_connects(tmp_path: Path) -> None:
    """All have one name; the key identifiers tell them apart."""
    own, peers = make_tls_identity(PASSWORD), [make_tls_identity(PASSWORD) for _ in range(3)]
    server = context(ssl.PROTOCOL_TLS_SERVER, own, peers, tmp_path / "own.pem")
    for peer in peers:
        client = context(ssl.PROTOCOL_TLS_CLIENT, peer, [own], tmp_path / "peer.pem")
        assert handshake(server, client) == peer.cert_der


def test_a_peer_that_is_not_pinned_does_not_connect(tmp_path: Path) -> None:
    """Nor does a client go on with a server it has not pinned."""
    own, peer, stranger = (make_tls_identity(PASSWORD) for _ in range(3))
    server = context(ssl.PROTOCOL_TLS_SERVER, own, [peer], tmp_path / "own.pem")
    for client in (
        context(ssl.PROTOCOL_TLS_CLIENT, stranger, [own], tmp_path / "stranger.pem"),
        context(ssl.PROTOCOL_TLS_CLIENT, peer, [stranger], tmp_path / "peer.pem"),
    ):
        with pytest.raises(ssl.SSLError):
            handshake(server, client)


def test_text_form_is_the_same_certificate() -> None:
    """PEM and back."""
    assert ssl.PEM_cert_to_DER_cert(der_to_pem(IDENTITY.cert_der)) == IDENTITY.cert_der
    assert der_to_pem(IDENTITY.cert_der).encode() == IDENTITY.pem[: IDENTITY.pem.index(b"-----BEGIN ENC")]


def test_digest_names_the_whole_certificate() -> None:
    """Label ‖ DER; any other byte gives another name."""
    der = IDENTITY.cert_der
    assert certificate_digest(der) == digest(Label.CERTIFICATE, der)
    assert certificate_digest(der) != certificate_digest(der[:-1] + bytes([der[-1] ^ 1]))


def test_every_damage_is_refused(damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    """Whatever the parser thinks of it: one typed error."""
    for other in damaged(IDENTITY.cert_der):
        refused(other)


def test_every_other_byte_value_is_refused() -> None:
    """Ten changes of each byte of one certificate: structure, lengths, tags and contents."""
    der = build()
    for at in range(len(der)):
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255, 127):
            refused(der[:at] + bytes([der[at] ^ change]) + der[at + 1 :])


def test_a_certificate_signed_by_another_key_is_refused() -> None:
    """Even where everything else is in form."""
    refused(build(signer=STRANGER))


def test_a_borrowed_key_identifier_is_refused() -> None:
    """It would stand in the way of the peer whose identifier it is."""
    refused(build(extensions=our_extensions(ski_of=STRANGER)))
    refused(build(extensions=our_extensions(aki_of=STRANGER)))
    refused(build(extensions=our_extensions(STRANGER, STRANGER)))


@pytest.mark.parametrize("changes", [
    {"subject_name": name("alpha")},
    {"issuer_name": name("alpha")},
    {"subject_name": x509.Name([]), "issuer_name": x509.Name([])},
    {"not_valid_before": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
    {"not_valid_before": datetime(2026, 1, 1, tzinfo=UTC)},
    {"not_valid_after": datetime(2049, 12, 31, tzinfo=UTC)},
    {"not_valid_after": datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC)},
])  # fmt: skip
def test_another_name_or_date_is_refused(changes: dict[str, Any]) -> None:
    """Names would tell who it is; dates would let a wrong clock break the link."""
    refused(build(**changes))


@pytest.mark.parametrize("extensions", [
    [],
    our_extensions()[:1],
    our_extensions()[1:],
    our_extensions()[::-1],
    [(x509.BasicConstraints(ca=True, path_length=None), True), *our_extensions()[1:]],
    [(x509.BasicConstraints(ca=False, path_length=None), False), *our_extensions()[1:]],
    [*our_extensions(), (x509.SubjectAlternativeName([x509.DNSName("alpha.example")]), False)],
    [*our_extensions(), (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)],
])  # fmt: skip
def test_other_extensions_are_refused(extensions: list[tuple[Any, bool]]) -> None:
    """Missing, reordered, added, or an authority."""
    refused(build(extensions=extensions))


def test_other_algorithms_are_refused() -> None:
    """Only Ed25519, for key and signature."""
    curve, goldilocks = ec.generate_private_key(ec.SECP256R1()), ed448.Ed448PrivateKey.generate()
    for key, algorithm in ((curve, hashes.SHA256()), (goldilocks, None)):
        refused(
            build(signer=key, algorithm=algorithm, public_key=key.public_key(), extensions=our_extensions(key, key))
        )
    refused(build(signer=curve, algorithm=hashes.SHA256()))


@pytest.mark.parametrize("serial_number", [7, (1 << 112) - 1, 1 << 127, 1 << 150])
def test_a_serial_number_of_another_length_is_refused(serial_number: int) -> None:
    """16 bytes as DER writes them: others would hold more, or less, than chance."""
    refused(build(serial_number=serial_number))


@pytest.mark.parametrize("first", [0x00, 0x80, 0xFF])
def test_a_serial_number_that_is_not_positive_is_refused(first: int) -> None:
    """Nor one with a leading zero: parsers quarrel about both."""
    der = build()
    at = der.index((1 << 120).to_bytes(16))
    refused(der[:at] + bytes([first]) + der[at + 1 :])
    refused(der[:at] + bytes(16) + der[at + 16 :])


@pytest.mark.parametrize(
    "der", [b"", b"0", b"\x30\x00", b"\x30\x80", bytes(305), bytes(513), b"\xff" * 305, IDENTITY.pem[:305]]
)
def test_anything_else_is_refused(der: bytes) -> None:
    """Nothing raises an untyped error."""
    refused(der)


def test_printing_shows_neither_key_nor_certificate() -> None:
    """Logs stay clean."""
    assert repr(IDENTITY) == "TlsIdentity()"
