"""One reader: the language and the zone in which a page is written for her."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from almenara.admin_ui.areas import area_name, plain
from almenara.admin_ui.i18n import RIGHT_TO_LEFT, translations
from almenara.node.words import N_
from almenara.protocol import vocabulary

_ZONE = re.compile(r"[A-Za-z_]+(?:/[A-Za-z0-9_+-]+){0,2}")
_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_LISTED = re.compile(r", | or ")  # how a problem lists codes
_COUNTRY = re.compile(r"[A-Z]{2}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


def zone_of(name: str) -> tzinfo:
    """Give the zone a browser named in its cookie; UTC for none, and for one this machine does not know."""
    if len(name) > 64 or not _ZONE.fullmatch(name):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


@dataclass(frozen=True)
class Reader:
    """Says everything in one language; codes, numbers and dates come isolated (`<bdi>`), so no script turns them."""

    language: str
    zone: tzinfo = UTC

    @property
    def direction(self) -> str:
        """`rtl` or `ltr`."""
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"

    @cached_property
    def locale(self) -> Locale:
        """Babel's rules for the language."""
        return Locale.parse(self.language)

    # sentences

    def say(self, message: str, **values: Any) -> Markup:
        """Translate, then fill in; values are escaped unless they are markup already."""
        text = escape(translations(self.language).gettext(message) if message else "")
        return text % {name: _isolated(value) for name, value in values.items()} if values else text

    def say_many(self, one: str, many: str, num: int, **values: Any) -> Markup:
        """Translate by number; `%(num)s` is the number itself."""
        text = escape(translations(self.language).ngettext(one, many, num))
        isolated = {name: _isolated(value) for name, value in values.items()}
        return text % {"num": self.number(num), **isolated}

    # numbers, codes

    def number(self, value: int) -> Markup:
        """A whole number with the language's separators."""
        return _bdi(format_decimal(value, locale=self.locale))

    @staticmethod
    def code(value: object) -> Markup:
        """Text that is read from left to right in every language: codes, ids, digits."""
        return Markup('<bdi dir="ltr" class="code">%s</bdi>') % value

    def label(self, name: str, code: object) -> str:
        """Give the word for a code of the vocabulary's list `name`; an unknown code as it came."""
        return vocabulary.label(name, str(code), self.language)

    def meaning(self, name: str, code: str) -> str:
        """One sentence about a code, or nothing."""
        return vocabulary.meaning(name, code, self.language)

    def threat(self, code: str) -> str:
        """Give the word for a threat code or, at the international tier, for its domain."""
        return self.label("threat" if "." in code else "threat_domain", code)

    def perpetrator(self, code: str) -> str:
        """Give the word for a perpetrator code or its class."""
        known = code in vocabulary.LISTS["perpetrator"]
        return self.label("perpetrator" if known else "perpetrator_class", code)

    def expected(self, field: str, expected: str) -> Markup:
        """What a problem expected, in the reader's words: consent states by their names, codes as they are."""
        if field != "consent.state":
            return self.say(expected)
        states = (self.label("consent_state", state) for state in _LISTED.split(expected))
        return Markup(" · ").join(Markup("<bdi>%s</bdi>") % state for state in states)

    def country(self, code: str | None) -> str:
        """Give a country's name; a subregion's for `M49:…`; the code itself when neither is known."""
        if not code:
            return ""
        if code.startswith("M49:"):
            return self.label("subregion", code)
        return str(self.locale.territories.get(code, code))

    @staticmethod
    def area(code: str) -> str:
        """Give the name of an ISO 3166-2 area in its own country's words, or the code."""
        return area_name(code)

    def countries(self) -> list[tuple[str, str]]:
        """Every country with its name, in the order of the names."""
        named = ((str(code), str(name)) for code, name in self.locale.territories.items())
        countries = (pair for pair in named if _COUNTRY.fullmatch(pair[0]) and pair[0] not in _NOT_COUNTRIES)
        return sorted(countries, key=lambda pair: plain(pair[1]))

    # time

    def instant(self, text: str | None) -> Markup:
        """An RFC 3339 instant, to the minute, in the reader's zone; the zone is named where it is UTC."""
        if not text:
            return Markup("")
        moment = datetime.fromisoformat(text).astimezone(self.zone)
        shown = format_datetime(moment, self._minute, locale=self.locale)
        suffix = " UTC" if self.zone is UTC else ""
        return Markup('<time datetime="%s"><bdi>%s</bdi></time>') % (text, shown + suffix)

    def day(self, text: str | None) -> Markup:
        """The day of an instant or of a date."""
        if not text:
            return Markup("")
        moment = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text).astimezone(self.zone)
        return Markup('<time datetime="%s"><bdi>%s</bdi></time>') % (text, format_date(moment, "d MMM y", self.locale))

    def ago(self, text: str | None, now_ms: int) -> Markup:
        """How long before `now_ms` an instant lies, in words."""
        if not text:
            return Markup("")
        past = datetime.fromisoformat(text) - datetime.fromtimestamp(now_ms / 1000, UTC)
        words = format_timedelta(min(past, timedelta(seconds=-1)), add_direction=True, locale=self.locale)
        return Markup('<time datetime="%s">%s</time>') % (text, words)

    def when(self, text: str) -> Markup:
        """Give the time of an alert as it was shared: a day, an ISO week or a month; anything else as it came."""
        try:
            return self._when(text)
        except ValueError:
            return self.code(text)

    @property
    def _minute(self) -> str:
        return f"d MMM y{self.say(N_(', '))}HH:mm"

    def _when(self, text: str) -> Markup:
        if week := _WEEK.fullmatch(text):
            monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
            first, last = (
                format_date(day, pattern, self.locale)
                for day, pattern in ((monday, "d MMM"), (monday + timedelta(days=6), "d MMM y"))
            )
            return self.say(N_("week of %(first)s to %(last)s"), first=_bdi(first), last=_bdi(last))
        if month := _MONTH.fullmatch(text):
            return _bdi(format_date(date(int(month[1]), int(month[2]), 1), "LLLL y", self.locale))
        if len(text) == 10:
            return _bdi(format_date(date.fromisoformat(text), "d MMMM y", self.locale))
        moment = datetime.fromisoformat(text)
        shown = format_datetime(moment, self._minute, locale=self.locale)
        return self.say(N_("%(time)s, clock of the place"), time=_bdi(shown))


_NOT_COUNTRIES = frozenset({"EU", "EZ", "UN", "QO", "ZZ", "XA", "XB", "AC", "CP", "CQ", "DG", "EA", "IC", "TA", "XX"})


def _bdi(text: str) -> Markup:
    return Markup("<bdi>%s</bdi>") % text


def _isolated(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup('<bdi dir="auto">%s</bdi>') % value
