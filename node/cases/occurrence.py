"""When it happened: an instant, a day, an ISO week or a month, as it was written (SCHEMAS §1, §2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WEEK = re.compile(r"(\d{4})-W(\d\d)", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)

_EARLIEST_ZONE = timedelta(hours=14)  # a day begins first at UTC+14
THURSDAY = 4  # ISO 8601 puts a week into the year, and we into the month, of its Thursday
FORMS = "2026-11-20T14:37+03:00, 2026-11-20, 2026-W47 or 2026-11"


class Precision(IntEnum):
    """How exactly a time is known, finest first."""

    INSTANT = 0
    DAY = 1
    WEEK = 2
    MONTH = 3


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A time as it was written.

    `day` is the calendar day in the offset it was written with, or the first day of the week or month; `begins` the
    earliest instant it can mean.
    """

    precision: Precision
    day: date
    begins: datetime

    @property
    def thursday(self) -> date:
        """The Thursday of the ISO week of `day`."""
        year, week, _ = self.day.isocalendar()
        return date.fromisocalendar(year, week, THURSDAY)


def _from_day(day: date, precision: Precision) -> Occurrence:
    return Occurrence(precision, day, datetime.combine(day, time.min, UTC) - _EARLIEST_ZONE)


def parse_occurrence(text: str) -> Occurrence:
    """Read one of the four forms. Raises ValueError for anything else."""
    if match := _INSTANT.fullmatch(text):
        moment = datetime.fromisoformat(text)
        return Occurrence(Precision.INSTANT, date.fromisoformat(match[1]), moment.astimezone(UTC))
    if _DAY.fullmatch(text):
        return _from_day(date.fromisoformat(text), Precision.DAY)
    if match := _WEEK.fullmatch(text):
        return _from_day(date.fromisocalendar(int(match[1]), int(match[2]), 1), Precision.WEEK)
    if match := _MONTH.fullmatch(text):
        return _from_day(date(int(match[1]), int(match[2]), 1), Precision.MONTH)
    raise ValueError("not one of the four forms")
