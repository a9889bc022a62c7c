"""Receipts: what a member holds of the others' objects, and what it has erased (PROTOCOL §7).

A receipt names runs of numbers in authors' chains, and only those that grew since its author's last one.  A run says
where it begins as well as where it ends: a newcomer holds nothing from before it came, and a number that is missing
ends a run, so nothing is ever called stored that is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from almenara.protocol.codec import Shape, array, integer, octets
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import HASH_BYTES, ID_BYTES, NODE_ID_BYTES, VERSION
from almenara.protocol.object import ObjectType

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RECEIPT: Final = 3_584  # bytes of a body: with header, signature and salt it fits a 4,096-byte envelope
MAX_RUNS: Final = 60  # PROTOCOL §7; with numbers below 65,536 they take 3,540 bytes
MAX_ERASED: Final = 60  # hashes; what does not fit goes into the next receipt

RECEIPTED: Final = frozenset(
    {
        ObjectType.ALERT,
        ObjectType.UPDATE,
        ObjectType.CANCEL,
        ObjectType.RETRACT,
        ObjectType.ACK,
        ObjectType.RESPONSE,
        ObjectType.OUTCOME,
        ObjectType.CONFIRM,
        ObjectType.DISPUTE,
        ObjectType.CORRECTION,
        ObjectType.STATEMENT,
        ObjectType.LEAVE,
        ObjectType.INVITE,
        ObjectType.ACCEPT,
        ObjectType.DECLINE,
    }
)
"""Types that a receipt is written for (PROTOCOL §8). Never receipts themselves: two nodes would answer for ever."""


class Run(NamedTuple):
    """Every object of a chain from `first` to `last`, both included; fields in wire order."""

    author: bytes
    incarnation: bytes
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Runs in rising order, and header hashes of objects whose bodies were erased because their author asked."""

    runs: tuple[Run, ...]
    erased: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            LocalError: a rule is broken, or TOO_LARGE.

        """
        encoded = _RECEIPT.write([list(run) for run in self.runs], list(self.erased))
        if len(encoded) > MAX_RECEIPT:
            raise LocalError(Defect.TOO_LARGE, "receipt", f"at most {MAX_RECEIPT} bytes", f"{len(encoded)} bytes")
        return encoded


_RUN = Shape(
    "run",
    ("author", octets(NODE_ID_BYTES)),
    ("incarnation", octets(ID_BYTES)),
    ("first", integer()),
    ("last", integer()),
)
_RECEIPT = Shape(
    "receipt",
    ("runs", array(_RUN, MAX_RUNS, rising=True)),
    ("erased", array(octets(HASH_BYTES), MAX_ERASED, rising=True)),
    version=VERSION,
)


def parse_receipt(body: bytes, author: bytes) -> Receipt:
    """Read the body of a receipt by `author`.

    Raises:
        RemoteError: not canonical, a slot breaks a rule, runs that could be one, or the author's own chain among them.
        NewerVersion: well-formed, but of a later version.

    """
    _, runs, erased = _RECEIPT.read(body, MAX_RECEIPT)
    found = [Run(*run) for run in runs]
    if not found and not erased:
        raise RemoteError(Defect.WRONG_COUNT, "receipt", "something that is held or erased", "nothing")
    for run in found:
        if run.author == author:
            raise RemoteError(Defect.NOT_ALLOWED, "runs", "chains of others")
        if run.first > run.last:
            raise RemoteError(Defect.OUT_OF_RANGE, "last", f"at least {run.first}", f"{run.last}")
    for one, other in pairwise(found):
        if one[:2] == other[:2] and other.first <= one.last + 1:
            raise RemoteError(Defect.REPEATED, "runs", "runs with a number between them")
    return Receipt(tuple(found), tuple(erased))


def fitting(runs: Sequence[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Part runs, in rising order, into what one receipt has room for and the rest."""
    count = min(len(runs), MAX_RUNS)
    while count and len(_RECEIPT.write([list(run) for run in runs[:count]], [])) > MAX_RECEIPT:
        count -= 1
    return tuple(runs[:count]), tuple(runs[count:])
