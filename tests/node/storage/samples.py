"""Rows with every field filled in, each value different from every other."""

from __future__ import annotations

from dataclasses import fields
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from almenara.node.storage.sealed import Blind, Sealed

if TYPE_CHECKING:
    from sqlalchemy import Table

R = TypeVar("R")

CANARY = "CANARY-9f3b"
"""Begins every text and byte string that `sealed_row` puts where the schema says that it is sealed."""

_numbers = count(1)


def row(row_type: type[R], **given: Any) -> R:
    """A row of this type; what is not given is made up."""
    return row_type(**_values(row_type, given, lambda _: ""))


def sealed_row(row_type: type[R], table: Table, planted: set[str], **given: Any) -> R:
    """The same with a canary in every field that the table seals; their columns are added to `planted`."""

    def mark(name: str) -> str:
        column = table.c.get(name)
        if column is None or not isinstance(column.type, Sealed | Blind):
            return ""
        planted.add(f"{table.name}.{name}")
        return f"{CANARY}-{table.name}-{name}-"

    return row_type(**_values(row_type, given, mark))


def _values(row_type: type[Any], given: dict[str, Any], mark: Any) -> dict[str, Any]:
    hints = get_type_hints(row_type)
    made = {field.name: _value(hints[field.name], mark(field.name)) for field in fields(row_type)}
    return made | given


def _value(hint: Any, mark: str) -> Any:
    number = next(_numbers)
    text = f"{mark}{number:08d}" + "x" * 8
    by_type: dict[str, Any] = {
        "int": number,
        "bool": True,
        "str": text,
        "bytes": text.encode(),
        "tuple[str, ...]": (text, "second"),
        "dict[str, typing.Any]": {"text": text, "nested": [{"number": number}]},
        "list[dict[str, typing.Any]]": [{"text": text}],
    }
    name = hint.__name__ if isinstance(hint, type) and "[" not in str(hint) else str(hint)
    return by_type[name.removesuffix(" | None")]
