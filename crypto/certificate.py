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
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from almenara.crypto import signing
from almenara.crypto.errors import CertificateMalformed, SignatureInvalid
from almenara.crypto.hashing import digest
from almenara.crypto.labels import Label

MAX_CERTIFICATE_BYTES = 512  # room in a card (PROTOCOL §1); ours have about 350
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
# A wrong clock must break nothing: dates are the card's business, so the certificate is always in time.
NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


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
    certificate = _builder(key.public_key()).sign(key, None)
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
    """Accept exactly what `make_tls_identity` makes, for any Ed25519 key. Raises CertificateMalformed."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateMalformed(f"a certificate has at most {MAX_CERTIFICATE_BYTES} bytes, got {len(der)}")
    try:
        _check_form(x509.load_der_x509_certificate(der))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateMalformed("not an X.509 certificate") from None


def _check_form(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if (
        not isinstance(key, ed25519.Ed25519PublicKey)
        or certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519
    ):
        raise CertificateMalformed("the certificate's key and signature are not Ed25519")
    if certificate.subject != NAME or certificate.issuer != NAME:
        raise CertificateMalformed("the certificate's names are not the generic one")
    if certificate.not_valid_before_utc != NOT_BEFORE or certificate.not_valid_after_utc != NOT_AFTER:
        raise CertificateMalformed("the certificate's dates are not 1970 to 9999")
    if list(certificate.extensions) != _extensions(key):
        raise CertificateMalformed("the certificate's extensions are not the three expected")
    try:
        signing.verify_unlabelled(key.public_bytes_raw(), certificate.tbs_certificate_bytes, certificate.signature)
    except SignatureInvalid:
        raise CertificateMalformed("the certificate is not signed by its own key") from None


def _extensions(key: ed25519.Ed25519PublicKey) -> list[x509.Extension[x509.ExtensionType]]:
    """CA:FALSE, and the key's hash as subject and authority key identifier.

    Without identifiers, of several pinned peers only the first one connects.
    """
    contents: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key), False),
    ]
    return [x509.Extension(value.oid, critical, value) for value, critical in contents]


def _builder(key: ed25519.Ed25519PublicKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer_name=NAME,
        subject_name=NAME,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=NOT_BEFORE,
        not_valid_after=NOT_AFTER,
    )
    for extension in _extensions(key):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder
