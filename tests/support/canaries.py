"""Strings that may be nowhere but in the heads of the organisation they belong to, and how to look for them.

Every canary begins with the marker of its script, so that a search for a few markers finds any of hundreds of canaries
in whatever form a program may have written them: encoded, escaped, decomposed, in lower case.
"""

from __future__ import annotations

import base64
import json
import struct
import unicodedata
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MARKERS = {  # no words, and made to change under NFD or lower case where the script can
    "latin": "Zqyxéjwkõv",
    "vietnamese": "Xqộjwzễkv",
    "cyrillic": "Щъйёжўъэ",
    "greek": "Ξψώύφχΐζ",
    "arabic": "ظغضؤئآثظ",
    "hebrew": "צףץךםטסן",
    "devanagari": "ढ़ञघङझठऴफ़",
    "ethiopic": "ጿፏቿኧዥጇጿፏ",
    "thai": "ฌฎฏฐฑฒณฬ",
    "han": "龘靐齉爩麤龖厵灥",
    "hangul": "뷁꿻쀍뛟힣꽯",
    "kana": "ヸヷヹヺぢゔゞヂ",
    "emoji": "🗝🪔🏯🔥🕯🪶",
    "plain": "QZXJVKWYQJ",
}
LATITUDE, LONGITUDE = 3.4516468, -76.5319854  # a canary too: the digits beyond the second are nobody's business
DIGEST_MARKER = "c0ffee5eed0ddba11fee1dead"


@dataclass
class Canaries:
    """Draws canaries, a different one each time, through all scripts in turn."""

    seed: int
    drawn: list[str] = field(default_factory=list)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def text(self) -> str:
        """One more canary."""
        marker = list(MARKERS.values())[len(self.drawn) % len(MARKERS)]
        tail = "".join(self._random.choices(marker, k=6)) + str(self._random.randrange(10**6))
        self.drawn.append(unicodedata.normalize("NFC", marker + tail))
        return self.drawn[-1]

    def digest(self) -> str:
        """One that looks like a SHA-256."""
        self.drawn.append(DIGEST_MARKER.ljust(64 - 8, "0") + f"{self._random.randrange(16**8):08x}")
        return self.drawn[-1]

    def case(self, **fields: Any) -> dict[str, Any]:
        """A case with a canary in every text that never leaves (SCHEMAS §2); `fields` replace what does."""
        text = self.text
        return {
            "title": text(),
            "narrative": f"{text()}\n{text()} {text()}",
            "case_number": text(),
            "persons": [self._person(), self._person()],
            "organisations": [text(), text()],
            "identifiers": [text(), text()],
            "source": {"name": text(), "contact": text(), "reliability": "B", "credibility": "2"},
            "evidence": [{"label": text(), "where": text(), "sha256": self.digest()}],
            "perpetrator_detail": text(),
            "threats": ["intimidation.threat", "legal.warrant-summons"],
            "phase": "ongoing",
            "severity": "Severe",
            "urgency": "Immediate",
            "certainty": "Observed",
            "target_unit": "individual",
            "role": "community-leader",
            "issue": "land-environment-climate",
            "place": {"country": "CO", "admin1": "CO-VAC", "lat": LATITUDE, "lon": LONGITUDE, "locality": text()},
            "occurred_at": "2026-11-20T14:37-05:00",
            "consent": {"state": "share-subscribers", "basis": "self", "informed": text()},
        } | fields

    def _person(self) -> dict[str, Any]:
        text = self.text
        return {
            "name": text(),
            "aliases": [text(), text()],
            "relation": "affected",
            "phone": text(),
            "email": text(),
            "handles": [text()],
            "address": text(),
            "document_ids": [text()],
            "birth_date": text(),
        }


def patterns() -> dict[bytes, str]:
    """Every form in which a canary could stand in bytes, and what it is."""
    found: dict[bytes, str] = {}
    for script, marker in MARKERS.items():
        for form in {marker, marker.lower(), *_decomposed(marker), *_decomposed(marker.lower())}:
            found |= dict.fromkeys(_encodings(form), script)
    for number in (LATITUDE, LONGITUDE):
        found |= dict.fromkeys(_encodings(repr(abs(number))), "coordinate")
        found |= {struct.pack(order + "d", number): "coordinate" for order in "<>"}
    found |= dict.fromkeys(_encodings(DIGEST_MARKER), "digest")
    return found | {bytes.fromhex(DIGEST_MARKER[:-1]): "digest"}


def _decomposed(text: str) -> Iterator[str]:
    return (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKD"))


def _encodings(text: str) -> Iterator[bytes]:
    plain = text.encode()
    wide = (text.encode("utf-16-le"), text.encode("utf-16-be"))
    yield from (plain, *wide)
    for raw in (plain, *wide):
        yield from (raw.hex().encode(), raw.hex().upper().encode())
        for offset in range(3):
            core = _base64_core(raw, offset)
            yield from (core, core.replace(b"+", b"-").replace(b"/", b"_"))
    yield json.dumps(text).strip('"').encode()
    yield quote(text).encode()


def _base64_core(raw: bytes, offset: int) -> bytes:
    """What base64 always shows of these bytes, when `offset` others stand before them in their group of three."""
    encoded = base64.b64encode(bytes(offset) + raw)
    first = 0 if offset == 0 else offset + 1  # letters that mix with what comes before
    whole = (offset + len(raw)) * 8 // 6
    return encoded[first:whole]


class Search:
    """Looks through bytes; says which kind of canary stands where."""

    def __init__(self) -> None:
        self._patterns: dict[int, list[tuple[bytes, str]]] = {}
        for pattern, what in patterns().items():
            self._patterns.setdefault(_word(pattern), []).append((pattern, what))

    def __call__(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """Where there is one: `place: script`."""
        return sorted({f"{where}: {what}" for where, content in places for what in self._kinds(content)})

    def _kinds(self, content: bytes) -> Iterator[str]:
        """Every four bytes in a row are looked up first: thousands of patterns cost no more than one."""
        for offset in range(4):
            whole = len(content[offset:]) // 4 * 4
            words = memoryview(content)[offset : offset + whole].cast("I")
            for word in {word for word in words if word in self._patterns}:
                yield from (what for pattern, what in self._patterns[word] if pattern in content)


def _word(pattern: bytes) -> int:
    return memoryview(pattern)[:4].cast("I")[0]
