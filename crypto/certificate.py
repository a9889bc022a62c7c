"""A node's TLS certificate: self-signed Ed25519 that says nothing but its key (PROTOCOL §2).

Identity is the pin, so there is one form and no other. Every certificate carries the same name; OpenSSL then finds the
right one among many pinned peers by key identifier, which is why that must be the hash of the key: a peer that wore
another's identifier would stand in that peer's way.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from almenara.crypto import signing
from almenara.crypto.errors import CertificateMalformed, SignatureInvalid
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label
from almenara.crypto.random import random_bytes

CERTIFICATE_BYTES = 305  # a card has room for 512 (PROTOCOL §1)
SERIAL_BYTES = 16
# Where the two parts that differ stand, counted in bytes from the start; the signature is the end.
_SERIAL_AT = 14
_KEY_AT = 117

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
# A wrong clock must break nothing: dates are the card's business, so the certificate is always in time.
_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# Signs the models that received certificates are compared with; its signature is never looked at.
_MODEL_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(signing.SEED_BYTES))


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """One PEM text of certificate and encrypted key, as the standard library loads it; and the certificate alone."""

    pem: bytes = field(repr=False)
    cert_der: bytes = field(repr=False)


def make_tls_identity(password: bytes) -> TlsIdentity:
    """Make a fresh key and its certificate.

    The key is PKCS #8, encrypted under `password`: 1 to 1,023 random bytes kept in the vault.
    """
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = _sign(key.public_key(), _random_serial(), key)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return TlsIdentity(pem=certificate.public_bytes(serialization.Encoding.PEM) + private, cert_der=der)


def certificate_digest(der: bytes) -> bytes:
    """Return the 32 bytes by which an invitation names a certificate (PROTOCOL §3)."""
    return digest(Label.CERTIFICATE, der)


def der_to_pem(der: bytes) -> str:
    """Return the text form that `SSLContext.load_verify_locations(cadata=…)` takes."""
    return ssl.DER_cert_to_PEM_cert(der)


def check_certificate(der: bytes) -> None:
    """Accept exactly what `make_tls_identity` makes, for any Ed25519 key. Raises CertificateMalformed.

    The certificate is not parsed but made again from its key and serial number, and compared: what is pinned holds
    nothing that two parsers could read in two ways.
    """
    if len(der) != CERTIFICATE_BYTES:
        raise CertificateMalformed(f"a node's certificate has {CERTIFICATE_BYTES} bytes, got {len(der)}")
    serial, public = der[_SERIAL_AT : _SERIAL_AT + SERIAL_BYTES], der[_KEY_AT : _KEY_AT + signing.PUBLIC_BYTES]
    if not 0 < serial[0] < 0x80:
        raise CertificateMalformed("the certificate's serial number is not positive or not of 16 bytes")
    model = _sign(ed25519.Ed25519PublicKey.from_public_bytes(public), serial, _MODEL_KEY)
    form, signature = der[: -signing.SIGNATURE_BYTES], der[-signing.SIGNATURE_BYTES :]
    if form != model.public_bytes(serialization.Encoding.DER)[: -signing.SIGNATURE_BYTES]:
        raise CertificateMalformed("the certificate is not in the one form of a node's certificate")
    try:
        signing.verify_unlabelled(public, model.tbs_certificate_bytes, signature)
    except SignatureInvalid:
        raise CertificateMalformed("the certificate is not signed by its own key") from None


def _random_serial() -> bytes:
    """16 bytes that DER writes as 16: positive and without leading zeros."""
    first, *rest = random_bytes(SERIAL_BYTES)
    return bytes([first & 0x7F | 0x40, *rest])


def _sign(key: ed25519.Ed25519PublicKey, serial: bytes, signer: ed25519.Ed25519PrivateKey) -> x509.Certificate:
    """Make the one form: generic name, dates that never matter, CA:FALSE, and the key's hash as both key identifiers.

    Without identifiers, of several pinned peers with one name only the first connects.
    """
    builder = x509.CertificateBuilder(
        issuer_name=_NAME,
        subject_name=_NAME,
        public_key=key,
        serial_number=int.from_bytes(serial),
        not_valid_before=_NOT_BEFORE,
        not_valid_after=_NOT_AFTER,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key), critical=False)
    return builder.sign(signer, None)
