"""Times: day → ISO week → month of that week's Thursday, from the calendar date in the offset it was written with."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from almenara.node.cases.occurrence import parse_occurrence
from almenara.node.minimise.when import coarsen, month_of, week_of


@pytest.mark.parametrize(
    ("written", "day", "week", "month"),
    [
        ("2026-11-20T14:37+03:00", "2026-11-20", "2026-W47", "2026-11"),
        ("2026-11-20T01:00+03:00", "2026-11-20", "2026-W47", "2026-11"),  # still the 19th in UTC
        ("2026-11-20T23:30-05:00", "2026-11-20", "2026-W47", "2026-11"),  # already the 21st in UTC
        ("2026-11-20T23:59:59.5Z", "2026-11-20", "2026-W47", "2026-11"),
        ("2026-12-31", "2026-12-31", "2026-W53", "2026-12"),
        ("2027-01-01", "2027-01-01", "2026-W53", "2026-12"),  # the week's Thursday is 31 December
        ("2026-06-30", "2026-06-30", "2026-W27", "2026-07"),  # a Tuesday; its Thursday is 2 July
        ("2026-03-01", "2026-03-01", "2026-W09", "2026-02"),  # a Sunday; its Thursday is 26 February
        ("2026-W27", "2026-W27", "2026-W27", "2026-07"),
        ("2026-11", "2026-11", "2026-11", "2026-11"),
    ],
)
def test_the_ladder_of_times(written: str, day: str, week: str, month: str) -> None:
    assert (coarsen(written, "day"), coarsen(written, "week"), coarsen(written, "month")) == (day, week, month)


def test_the_month_is_a_function_of_the_week_for_every_day_of_forty_years() -> None:
    day, months = date(2000, 1, 1), {}
    while day.year < 2040:
        week = week_of(day.isoformat())
        month = month_of(day.isoformat())
        assert months.setdefault(week, month) == month == month_of(week)
        day += timedelta(days=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-11-20T14:37",
        "2026-11-20 14:37+03:00",
        "2026-W54",
        "2026-W00",
        "2026-13",
        "2026-02-30",
        "٢٠٢٦-11",
    ],
)
def test_other_forms_are_no_times(text: str) -> None:
    with pytest.raises(ValueError):
        parse_occurrence(text)
