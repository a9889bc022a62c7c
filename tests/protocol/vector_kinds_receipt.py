"""The reader of the vectors of receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.protocol.receipt import parse_receipt

if TYPE_CHECKING:
    from collections.abc import Callable


def read_receipt(given: dict[str, Any]) -> dict[str, Any]:
    receipt = parse_receipt(bytes.fromhex(given["body"]), bytes.fromhex(given["author"]))
    assert receipt.encode().hex() == given["body"]
    return {
        "runs": [
            {"author": one.author.hex(), "incarnation": one.incarnation.hex(), "first": one.first, "last": one.last}
            for one in receipt.runs
        ],
        "erased": [digest.hex() for digest in receipt.erased],
    }


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"receipt": read_receipt}
