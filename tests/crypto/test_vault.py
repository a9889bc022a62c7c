"""The vault file: opens only whole and only for its passphrase, and says which of the two is wrong."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from unittest.mock import Mock, patch

import pytest

from almenara.crypto import box, hashing, vault
from almenara.crypto.errors import VaultDamaged, WrongPassphrase
from almenara.crypto.labels import Label
from almenara.crypto.passwords import stretch
from almenara.crypto.vault import open_vault, seal_vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT = b"seeds and passwords" * 10
PASSPHRASE = "una frase larga, señal"


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_vault(CONTENT, PASSPHRASE)


@pytest.fixture
def quick() -> Iterator[Mock]:
    """Real Argon2id at a small cost, for tests of the file rather than of the cost."""

    def at_small_cost(passphrase: str, salt: bytes, *, memory_bytes: int, passes: int) -> bytes:
        return stretch(passphrase, salt, memory_bytes=memory_bytes // 1024, passes=passes)

    with patch.object(vault, "stretch", side_effect=at_small_cost) as stretched:
        yield stretched


def with_sum(whole: bytes) -> bytes:
    """Repair the checksum, as somebody would who rewrites the file."""
    return whole + hashing.digest(Label.VAULT_SUM, whole)


def test_right_passphrase_opens(sealed: bytes) -> None:
    """Also typed with a combining accent."""
    assert open_vault(sealed, "una frase larga, sen\N{COMBINING TILDE}al") == CONTENT


@pytest.mark.usefixtures("quick")
def test_empty_content_is_content() -> None:
    """Nothing sealed is not the same as nothing there."""
    assert open_vault(seal_vault(b"", PASSPHRASE), PASSPHRASE) == b""


@pytest.mark.parametrize("wrong", ["", "una frase larga, senal", PASSPHRASE + " "])
def test_wrong_passphrase_is_called_that(sealed: bytes, wrong: str) -> None:
    """And no other error; neither passphrase nor content is in the message."""
    with pytest.raises(WrongPassphrase) as refused:
        open_vault(sealed, wrong)
    assert PASSPHRASE not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.usefixtures("quick")
def test_machine_secret_is_needed_where_it_was_used() -> None:
    """File and passphrase alone open nothing, nor does another machine's secret."""
    bound = seal_vault(CONTENT, PASSPHRASE, machine_secret=bytes(range(32)))
    assert open_vault(bound, PASSPHRASE, machine_secret=bytes(range(32))) == CONTENT
    for secret in (b"", bytes(32)):
        with pytest.raises(WrongPassphrase):
            open_vault(bound, PASSPHRASE, machine_secret=secret)


def test_every_damage_is_called_that_without_costly_work(
    sealed: bytes, damaged: Callable[[bytes], Iterator[bytes]]
) -> None:
    """Flipped bits anywhere, every length of a torn write, a longer file: never a wrong passphrase."""
    with patch.object(vault, "stretch") as stretched:
        for other in damaged(sealed):
            with pytest.raises(VaultDamaged):
                open_vault(other, PASSPHRASE)
    stretched.assert_not_called()


@pytest.mark.parametrize(
    ("passes", "memory_kib"),
    [
        (1, 256 * 1024),
        (2, 256 * 1024),
        (3, 8),
        (3, 256 * 1024 - 1),
        (17, 256 * 1024),
        (255, 8),
        (3, 2**21 + 1),
        (3, 2**32 - 1),
    ],
)
def test_costs_outside_the_range_are_refused_unspent(sealed: bytes, passes: int, memory_kib: int) -> None:
    """Below ours a rewritten file would make guessing cheap; absurdly above, it would take the machine down."""
    whole = sealed[:9] + struct.pack(">BI", passes, memory_kib) + sealed[14:-32]
    with patch.object(vault, "stretch") as stretched, pytest.raises(VaultDamaged):
        open_vault(with_sum(whole), PASSPHRASE)
    stretched.assert_not_called()


@pytest.mark.parametrize(("passes", "memory_kib"), [(4, 256 * 1024), (16, 256 * 1024), (3, 2**21)])
def test_greater_costs_within_the_range_are_followed(quick: Mock, passes: int, memory_kib: int) -> None:
    """A later version may ask for more, up to the named limits, and this one still opens it."""
    with patch.multiple(vault, PASSES=passes, MEMORY_KIB=memory_kib):
        dearer = seal_vault(CONTENT, PASSPHRASE)
    assert open_vault(dearer, PASSPHRASE) == CONTENT
    assert quick.call_args.kwargs == {"memory_bytes": memory_kib * 1024, "passes": passes}


def test_another_version_or_file_is_refused(sealed: bytes) -> None:
    """Even with a right checksum."""
    for whole in (b"ALMVAULX" + sealed[8:-32], sealed[:8] + b"\2" + sealed[9:-32], bytes(len(sealed) - 32)):
        with pytest.raises(VaultDamaged):
            open_vault(with_sum(whole), PASSPHRASE)


@pytest.mark.parametrize("length", [0, 8, 29, 30, 102, 141])
def test_a_short_file_is_damaged_whatever_its_checksum(sealed: bytes, length: int) -> None:
    """Too short for header, key or seal: never an error of the parser's own."""
    with pytest.raises(VaultDamaged, match="at least 174 bytes"):
        open_vault(with_sum(sealed[:length]), PASSPHRASE)


@pytest.mark.usefixtures("quick")
def test_machine_secret_follows_the_stretched_passphrase() -> None:
    """The order of both in the key-encryption key is part of the format."""
    bound = seal_vault(CONTENT, PASSPHRASE, machine_secret=b"keyring")
    argon = stretch(PASSPHRASE, bound[14:30], memory_bytes=2**18, passes=3)
    kek = hashing.derive(Label.VAULT_KEY, argon + b"keyring", bound[:30])
    assert len(box.open(kek, bound[30:102], Label.VAULT + bound[:30])) == 32


@pytest.mark.usefixtures("quick")
def test_content_swapped_for_another_vault_s_is_refused() -> None:
    """An older content under a repaired checksum does not open with the present key."""
    sealed, other = seal_vault(CONTENT, PASSPHRASE), seal_vault(CONTENT, PASSPHRASE)
    end = vault._KEY_END
    with pytest.raises(VaultDamaged):
        open_vault(with_sum(sealed[:end] + other[end:-32]), PASSPHRASE)


@pytest.mark.usefixtures("quick")
def test_a_rewritten_key_or_salt_opens_nothing() -> None:
    """The checksum can be repaired, the seal cannot."""
    sealed = seal_vault(CONTENT, PASSPHRASE)
    for place in (14, 30, 60, 100):
        whole = bytearray(sealed[:-32])
        whole[place] ^= 1
        with pytest.raises(WrongPassphrase):
            open_vault(with_sum(bytes(whole)), PASSPHRASE)


def test_file_is_what_the_module_describes(sealed: bytes) -> None:
    """Header, costs and seals taken apart by hand."""
    magic, version, passes, memory_kib, salt = struct.unpack(">8sBBI16s", sealed[:30])
    assert (magic, version, passes, memory_kib) == (b"ALMVAULT", 1, 3, 256 * 1024)
    argon = stretch(PASSPHRASE, salt, memory_bytes=2**28, passes=3)
    kek = hashing.derive(Label.VAULT_KEY, argon, sealed[:30])
    vault_key = box.open(kek, sealed[30:102], Label.VAULT + sealed[:30])
    assert box.open(vault_key, sealed[102:-32], Label.VAULT + sealed[:102]) == CONTENT


@pytest.mark.usefixtures("quick")
def test_sealing_twice_shares_nothing() -> None:
    """Salt, vault key and nonces are fresh; the content is nowhere in the clear."""
    sealed, again = seal_vault(CONTENT, PASSPHRASE), seal_vault(CONTENT, PASSPHRASE)
    assert len(again) == len(sealed) == len(CONTENT) + 174
    for start, end in ((14, 30), (30, 54), (54, 102), (102, 126), (126, 150)):
        assert again[start:end] != sealed[start:end]
    assert CONTENT[:19] not in sealed
