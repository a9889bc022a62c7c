# ruff: noqa: N818 -- the names say what was found, as `SignatureInvalid` reads in an except clause
"""What this package raises, and nothing else. No message ever holds a key, a passphrase or a plaintext."""

from __future__ import annotations


class CryptoError(Exception):
    """Base of every refusal of this package; never raised itself."""


class SignatureInvalid(CryptoError):
    """The signature was not made by this key over this label and message, or not in the one accepted form."""


class OpenFailed(CryptoError):
    """Sealed bytes did not open. One answer for a wrong key, wrong context, damage and truncation alike."""


class MacInvalid(CryptoError):
    """The authentication code was not made with this key over this label and message."""


class KeyMalformed(CryptoError):
    """These bytes cannot be a key or nonce of this kind: wrong length, or a point or coefficient out of range."""


class NodeIdMalformed(CryptoError):
    """Not a node id: wrong length, a letter outside the alphabet, or a typing error found by the check digits."""


class CertificateMalformed(CryptoError):
    """Not a node's TLS certificate in the one form of PROTOCOL §2."""


class WrongPassphrase(CryptoError):
    """The vault is whole, but this passphrase (or this machine's secret, where one is used) does not open it."""


class VaultDamaged(CryptoError):
    """The vault file is not whole, not of a known version, or asks for costs outside the accepted range."""


class WrongPassword(CryptoError):
    """The password does not belong to this hash, or the hash is not one of ours."""
