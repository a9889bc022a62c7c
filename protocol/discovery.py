"""Discovery: what a node may say of itself on a local network, so that its peers know it and nobody else does.

A tag is worth nothing without the pair's secret, stands for one hour, and is no proof: it says where to dial, and the
pinned certificate says who answers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from almenara.crypto.hashing import derive
from almenara.crypto.labels import Label
from almenara.protocol.errors import Defect, LocalError, RemoteError
from almenara.protocol.limits import UINT32

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almenara.crypto.identity import NodeId

TAG_BYTES: Final = 8
TAGS: Final = 16  # always so many, whatever the number of peers
NOTICE_BYTES: Final = TAGS * TAG_BYTES  # fits one string of a TXT record
_HOUR_BYTES: Final = 4


def discovery_tag(carry_secret: bytes, hour: int, announcer: NodeId) -> bytes:
    """Derive the tag by which `announcer` is known in one hour since 1970 to its peer: 8 bytes.

    `carry_secret` is that of the direct circle of the two, as its newest statement commits to it.
    """
    if not 0 <= hour <= UINT32:
        raise LocalError(Defect.OUT_OF_RANGE, "hour")
    return derive(Label.DISCOVERY_TAG, carry_secret, hour.to_bytes(_HOUR_BYTES), announcer.raw, length=TAG_BYTES)


def notice(tags: Iterable[bytes], filler: bytes) -> bytes:
    """Return what is announced: at most 16 tags, filled up from 128 random bytes, in an order that tells nothing."""
    shown = set(tags)
    for spare in _parts(filler)[len(shown) :]:
        shown.add(spare)
    if len(shown) != TAGS:
        raise LocalError(Defect.WRONG_COUNT, "tags", f"{TAGS} different ones with the filler")
    return b"".join(sorted(shown))


def parse_notice(data: bytes) -> frozenset[bytes]:
    """Read the tags of an announcement.

    Raises:
        RemoteError: WRONG_LENGTH, or NOT_SORTED.

    """
    if len(data) != NOTICE_BYTES:
        raise RemoteError(Defect.WRONG_LENGTH, "tags", f"{NOTICE_BYTES} bytes", f"{len(data)} bytes")
    tags = _parts(data)
    if any(one >= other for one, other in pairwise(tags)):
        raise RemoteError(Defect.NOT_SORTED, "tags", "a strictly rising order")
    return frozenset(tags)


def _parts(data: bytes) -> list[bytes]:
    return [data[start : start + TAG_BYTES] for start in range(0, len(data), TAG_BYTES)]
