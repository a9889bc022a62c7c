"""The ladder of times: day → ISO week → month of that week's Thursday (SCHEMAS §1, §3).

An ISO week does not nest in months, so the month is a function of the week, never of the day: otherwise a wider tier
would tell on which side of the first a day lay. What is known more coarsely stays as coarse.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from almenara.node.cases.occurrence import THURSDAY, Precision, parse_occurrence

STEPS: Final = ("day", "week", "month")
_PRECISIONS: Final = {"day": Precision.DAY, "week": Precision.WEEK, "month": Precision.MONTH}


def day_of(written: str) -> str:
    """Give the calendar day of an instant, in the offset it was written with; anything coarser as it is."""
    found = parse_occurrence(written)
    return found.day.isoformat() if found.precision is Precision.INSTANT else written


def week_of(shown: str) -> str:
    """Give the ISO week of a day; a week or a month as it is."""
    found = parse_occurrence(shown)
    if found.precision > Precision.DAY:
        return shown
    year, week, _ = found.day.isocalendar()
    return f"{year:04d}-W{week:02d}"


def month_of(shown: str) -> str:
    """Give the month of the Thursday of a week, or of a day's week; a month as it is."""
    if parse_occurrence(shown).precision is Precision.MONTH:
        return shown
    year, week = week_of(shown).split("-W")
    thursday = date.fromisocalendar(int(year), int(week), THURSDAY)
    return f"{thursday.year:04d}-{thursday.month:02d}"


def coarsen(written: str, step: str) -> str:
    """Give a time as coarse as `step` (`day`, `week`, `month`), or coarser if it was."""
    if step == "month":
        return month_of(written)
    return week_of(written) if step == "week" else day_of(written)


def step_of(shown: str) -> str:
    """Name the step a shown time stands on."""
    precision = parse_occurrence(shown).precision
    return next(step for step, own in _PRECISIONS.items() if own >= precision)
