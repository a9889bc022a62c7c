"""Published vectors, as the `cryptography_vectors` package ships them, and one damage for every negative test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cryptography_vectors
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(cryptography_vectors.__file__).parent

Records = list[dict[str, str]]


@pytest.fixture(scope="session")
def vector_records() -> Callable[[str], Records]:
    """Read a file of `name = value` lines; a record begins where the first name comes again."""

    def read(path: str) -> Records:
        records: Records = []
        for line in (ROOT / path).read_text().splitlines():
            name, equals, value = (part.strip() for part in line.partition("="))
            if line.startswith("#") or not equals:
                continue
            if not records or name == next(iter(records[0])):
                records.append({})
            records[-1][name] = value
        return records

    return read


@pytest.fixture(scope="session")
def vector_json() -> Callable[[str], list[dict[str, Any]]]:
    """Read a JSON file that holds a list of objects."""

    def read(path: str) -> list[dict[str, Any]]:
        return list(json.loads((ROOT / path).read_text()))

    return read


@pytest.fixture(scope="session")
def vector_lines() -> Callable[[str], list[list[str]]]:
    """Read a file of lines with fields between colons."""

    def read(path: str) -> list[list[str]]:
        return [line.split(":") for line in (ROOT / path).read_text().splitlines()]

    return read


@pytest.fixture(scope="session")
def damaged() -> Callable[[bytes], Iterator[bytes]]:
    """One bit flipped in each byte, the end cut off at every length, one byte appended."""

    def damage(whole: bytes) -> Iterator[bytes]:
        for at in range(len(whole)):
            yield whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]
            yield whole[:at]
        yield whole + b"\0"

    return damage
