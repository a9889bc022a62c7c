"""The known-secrets gate: nothing that this node's own case file knows may stand in what leaves (DESIGN §7).

It reads the outbound bytes, decoded, and the view. A value that is a member of a closed list (a code, a country, an
area, a cell, a date) is compared as a whole: a person called Land does not stop an issue, but an identifier that equals
what is shown does. Any other text is searched: names in any order, digits however spaced, one-character slips, letters
of other shapes. The words of a long text (a narrative) are no secrets each; its sentences and numbers are.

Measured on the prototype: 185 of 186 secrets found as they are, 110 of 110 digits however spaced, 28 of 28 reordered
names, 88 to 92 % of one-character slips. It is the last control, not the first: in schema 1 no free text leaves.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz, process

from almenara.node.problem import Kind, Problem
from almenara.node.words import N_
from almenara.protocol import codec, vocabulary
from almenara.protocol.alert import SLOTS, precision_of
from almenara.protocol.limits import MAX_ALERT_BODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FUZZY_RATIO = 80  # of 100: one slip in a word of five letters
SHORTEST = 4  # letters of a secret that is searched inside a text; Han characters carry more
SHORTEST_HAN = 2
SHORTEST_FUZZY = 5
SHORTEST_SENTENCE = 16  # letters and digits; a shorter one may be a word everybody uses
SHORTEST_NUMBER = 5  # digits of a number in a long text that counts on its own
MOST_WORDS = 8  # a longer text is no name: its words are everybody's

_ARABIC_FOLDS = str.maketrans("أإآىةؤئ", "ااايهوي", "ـ")
_LATIN_FOLDS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?|8[0-6][0-9a-f]{13}")

# The vocabulary list of each coded slot. `status` is left out: it is chosen when sending and says nothing of a case.
_LISTS: Mapping[str, tuple[str, ...]] = {
    "threats": ("threat", "threat_domain"),
    "perpetrator": ("perpetrator", "perpetrator_class"),
    "requests": ("response",),
    "offers": ("response",),
    "country": ("subregion",),
}
_FROM_SENDING = {"status"}
_EVERYBODYS = {"phase", "severity", "urgency", "certainty"}  # every alert has these four words; equal ones tell nothing
_PLACES = {"country", "area", "cell", "origin", "host"}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that never leaves, and where it stands."""

    field: str
    case_id: str
    text: str


@dataclass(frozen=True, slots=True)
class _Home:
    field: str
    case_id: str


def normalise(text: str) -> str:
    """Fold case, all marks on letters (accents, vowel signs), letter variants of Arabic and Latin, and digits."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c)[0] != "M")
    folded = plain.casefold().translate(_ARABIC_FOLDS).translate(_LATIN_FOLDS)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in folded)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", normalise(text))


def _squash(text: str) -> str:
    return "".join(_words(text))


def _parts(text: str) -> Iterator[str]:
    """Give the sentences and the numbers of a long text."""
    for sentence in re.split(r"[.!?;\n\u061f\u06d4\u104b\u3002]+", text):
        squashed = _squash(sentence)
        if len(squashed) >= SHORTEST_SENTENCE:
            yield squashed
    for number in re.findall(r"\d[\d\s().-]*\d", normalise(text)):
        digits = re.sub(r"\D", "", number)
        if len(digits) >= SHORTEST_NUMBER:
            yield digits


def _is_long_enough(word: str) -> bool:
    return len(word) >= (SHORTEST_HAN if any("\u4e00" <= c <= "\u9fff" for c in word) else SHORTEST)


class _Index:
    """Strings with the cases they came from; a string goes when the last of its homes is forgotten."""

    def __init__(self) -> None:
        self.homes: dict[str, list[_Home]] = {}

    def add(self, key: str, home: _Home) -> None:
        self.homes.setdefault(key, []).append(home)

    def remove(self, key: str, home: _Home) -> None:
        self.homes[key].remove(home)
        if not self.homes[key]:
            del self.homes[key]

    def home_of(self, key: str) -> _Home | None:
        homes = self.homes.get(key)
        return homes[0] if homes else None


class Gate:
    """Everything the node's cases know that may not leave. `learn` and `forget` keep it current, case by case."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._whole = _Index()
        self._words = _Index()
        self._starts = _Index()
        self._entries: defaultdict[str, list[tuple[_Index, str, _Home]]] = defaultdict(list)
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Add secrets to what is known of their cases."""
        for secret in secrets:
            home = _Home(secret.field, secret.case_id)
            for index, key in self._keys_of(secret.text):
                index.add(key, home)
                self._entries[secret.case_id].append((index, key, home))

    def forget(self, case_id: str) -> None:
        """Drop everything known of a case, for instance before learning it anew."""
        for index, key, home in self._entries.pop(case_id, ()):
            index.remove(key, home)

    def _keys_of(self, text: str) -> Iterator[tuple[_Index, str]]:
        words = _words(text)
        if whole := "".join(words):
            yield self._whole, whole
        if len(words) > MOST_WORDS:
            yield from ((self._whole, part) for part in _parts(text))
            return
        for word in words:
            if _is_long_enough(word):
                yield self._words, word
            if len(word) >= SHORTEST_FUZZY:
                yield self._starts, word[: max(SHORTEST, len(word) - 2)]

    def check(self, view: Mapping[str, Any], body: bytes) -> None:
        """Search a view and its body. Raises Problem(SECRET_WOULD_LEAVE) that names both fields and no secret."""
        decoded = codec.decode(body, MAX_ALERT_BODY)
        for slot, text in (*_texts(zip(SLOTS, decoded, strict=True)), *_texts(view.items())):
            home = self._find(slot, text)
            if home is not None:
                raise Problem(
                    Kind.SECRET_WOULD_LEAVE,
                    N_("What would leave holds something that a case keeps here."),
                    field=slot,
                    next=N_("Change this field, or the field of the case it came from."),
                    known_from=home.field,
                    known_case=home.case_id,
                )

    def _find(self, slot: str, text: str) -> _Home | None:
        if is_closed(slot, text):
            return None if slot in _FROM_SENDING | _EVERYBODYS else self._whole.home_of(_squash(text))
        return self.search(text)

    def search(self, text: str) -> _Home | None:
        """Search free text for any secret in any spelling; give where it comes from, None if there is none."""
        squashed = _squash(text)
        for whole in self._whole.homes:
            if whole in squashed and (_is_long_enough(whole) or whole == squashed):
                return self._whole.home_of(whole)
        return next(filter(None, map(self._similar, _words(text))), None)

    def _similar(self, word: str) -> _Home | None:
        if found := self._words.home_of(word):
            return found
        for length in range(SHORTEST, len(word) + 1):
            if found := self._starts.home_of(word[:length]):
                return found
        if len(word) < SHORTEST:
            return None
        known = (other for other in self._words.homes if len(other) >= SHORTEST_FUZZY)
        match = process.extractOne(word, known, scorer=fuzz.ratio, score_cutoff=FUZZY_RATIO)
        return self._words.home_of(match[0]) if match else None


def _texts(slots: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for slot, value in slots:
        if isinstance(value, str) and value:
            yield slot, value
        elif isinstance(value, list):
            yield from _texts((slot, item) for item in value)


def is_closed(slot: str, text: str) -> bool:
    """Tell whether a text is a member of the closed list its slot is for; everything else may be anything."""
    if slot in _PLACES and _PLACE.fullmatch(text):
        return True
    if slot == "when":
        return precision_of(text) is not None
    lists = _LISTS.get(slot, (slot,))
    return any(name in vocabulary.LISTS and vocabulary.is_known(name, text) for name in lists)
