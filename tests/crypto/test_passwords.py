"""Passphrases and passwords: one written form, Argon2id on its vectors, wrong ones refused."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from nacl import bindings
from nacl.exceptions import RuntimeError as SodiumRuntimeError

from almenara.crypto.errors import WrongPassword
from almenara.crypto.passwords import check_password, hash_password, stretch, text_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

Records = list[dict[str, str]]
SALT = bytes(range(16))
PASSWORD = "correct horse é"


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


def test_rfc_9106_vectors_and_the_other_library(vector_records: Callable[[str], Records]) -> None:
    """No lanes and no secret in libsodium: the vectors judge another library, and that one judges `stretch`."""
    records = vector_records("KDF/argon2id.txt")
    assert records[0]["output"] == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    for record in records:
        secret, ad = (bytes.fromhex(record[name]) if record.get(name) else None for name in ("secret", "ad"))
        lanes, passes, memory = (int(record[name]) for name in ("lanes", "iter", "memcost"))
        argon = Argon2id(
            salt=bytes.fromhex(record["salt"]), length=int(record["length"]), iterations=passes, lanes=lanes,
            memory_cost=memory, ad=ad, secret=secret,
        )  # fmt: skip
        assert argon.derive(bytes.fromhex(record["pass"])).hex() == record["output"]
    for passes, memory in ((1, 8), (3, 32), (2, 1024)):
        other = Argon2id(salt=SALT, length=32, iterations=passes, lanes=1, memory_cost=memory)
        assert stretch("passphrase", SALT, memory_bytes=memory * 1024, passes=passes) == other.derive(b"passphrase")


def test_stretch_depends_on_every_input() -> None:
    """Text, salt, memory and passes."""
    results = {
        stretch(text, salt, memory_bytes=memory, passes=passes)
        for text, salt, memory, passes in (
            ("a", SALT, 8192, 1),
            ("b", SALT, 8192, 1),
            ("a", bytes(16), 8192, 1),
            ("a", SALT, 16384, 1),
            ("a", SALT, 8192, 2),
        )
    }
    assert len(results) == 5


def test_too_little_memory_is_not_called_a_wrong_passphrase() -> None:
    """Where the machine cannot give the memory, the error says that."""
    with (
        patch.object(bindings, "crypto_pwhash_alg", side_effect=SodiumRuntimeError("no memory")),
        pytest.raises(MemoryError, match="256 MiB"),
    ):
        stretch("passphrase", SALT, memory_bytes=2**28, passes=3)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("\N{LATIN SMALL LIGATURE FI}", "fi"),
        ("\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH LATIN SMALL LETTER A}", "1a"),
        ("\N{ARABIC LETTER ALEF}\N{ARABIC HAMZA ABOVE}", "\N{ARABIC LETTER ALEF WITH HAMZA ABOVE}"),
        ("a\N{NO-BREAK SPACE}b", "a b"),
    ],
)
def test_one_text_typed_in_two_ways_is_one_text(typed: str, stored: str) -> None:
    """NFKC: another keyboard must not lock anybody out."""
    assert text_bytes(typed) == text_bytes(stored) == stored.encode()


def test_normalising_keeps_case_spaces_and_digits_apart() -> None:
    """Nothing else is folded, trimmed or dropped."""
    texts = ["a", "A", " a", "a ", "a\n", "á", "", "a\0"]
    assert len({text_bytes(text) for text in texts}) == len(texts)


def test_a_lone_surrogate_is_bytes_like_any_other() -> None:
    """No text makes the functions raise something untyped."""
    assert text_bytes("\ud800") != text_bytes("\udfff")


def test_password_matches_its_hash(hashed: str) -> None:
    """Also typed with a combining accent."""
    check_password(hashed, PASSWORD)
    check_password(hashed, "correct horse e\N{COMBINING ACUTE ACCENT}")


@pytest.mark.parametrize("wrong", ["", "correct horse e", "Correct horse é", "correct horse é ", "correct horse é\0"])
def test_wrong_password_is_refused(hashed: str, wrong: str) -> None:
    """One letter, one space, one NUL."""
    with pytest.raises(WrongPassword) as refused:
        check_password(hashed, wrong)
    assert not wrong or wrong not in str(refused.value)


def test_hash_is_argon2id_with_our_costs_and_its_own_salt(hashed: str) -> None:
    """64 MiB, three passes; two people with one password have different hashes."""
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert hash_password(PASSWORD) != hashed
    assert PASSWORD not in hashed


def test_damaged_hash_is_refused(hashed: str) -> None:
    """Cut, changed, empty, or not a hash at all."""
    for other in (
        hashed[:-1],
        hashed[:-5] + "AAAAA",
        "",
        "$",
        "plain",
        hashed + "\0",
        hashed[:60],
        "é" * 200,
        hashed * 2,
    ):
        with pytest.raises(WrongPassword):
            check_password(other, PASSWORD)


def test_a_hash_with_other_costs_is_refused_unread(hashed: str) -> None:
    """A planted hash can neither take the machine's memory nor weaken the check."""
    for costs in ("m=4194304,t=3,p=1", "m=65536,t=4000000,p=1", "m=8,t=1,p=1"):
        with patch.object(bindings, "crypto_pwhash_str_verify") as verify, pytest.raises(WrongPassword):
            check_password(hashed.replace("m=65536,t=3,p=1", costs), PASSWORD)
        verify.assert_not_called()
