"""Pure bytes in, pure bytes out: identity, signatures, sealing, derivation, the vault file.

The only importer of nacl and cryptography.
"""
