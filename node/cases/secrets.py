"""What the known-secrets gate must know of a case: every text, and number, in a row that never leaves (SCHEMAS §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from almenara.node.cases.case import is_local
from almenara.protocol import vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

# Coded fields of local rows. A known code is no secret: `family` as somebody's relation must not stop a target unit.
_CODED = {
    "relation": "relation",
    "identity_factors": "identity_factor",
    "reliability": "source_reliability",
    "credibility": "information_credibility",
    "channel": "channel",
    "mode": "mode",
    "legal_pretext": "legal_pretext",
    "context": "context",
    "affected_circle": "affected_circle",
}
# Dates and ids of the consent record: the day consent was given is often the day of the event, which is shown.
_NOT_SECRET = {"consent.state", "consent.basis", "consent.recorded_on", "consent.valid_until", "consent.audience"}


def local_texts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give (field, text) for every text and number of a case that may not leave; `field` is a path without positions.

    Works on the document as it was written, so that a draft's texts, and those in fields nobody knows, count too.
    """
    for name, value in document.items():
        yield from _walk(str(name), value)


def _walk(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(f"{path}.{name}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(path, item)
    else:
        text = value if isinstance(value, str) else "" if isinstance(value, bool | None) else str(value)
        if text and is_secret(path, text):
            yield path, text


def is_secret(path: str, text: str) -> bool:
    """Tell whether a text at this path may not leave."""
    if not is_local(path) or path in _NOT_SECRET:
        return False
    coded = _CODED.get(path.rsplit(".", 1)[-1])
    return coded is None or not vocabulary.is_known(coded, text)
