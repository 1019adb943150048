"""Dates as people, cameras and spreadsheets write them, to ISO 8601."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["DateOrder", "ParsedDates", "day_of", "parse_dates"]

DateOrder = Literal["day-first", "month-first"]

_TIME = (
    r"(?:[T\s,]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?$"
)
_YEAR = r"(?P<year>\d{4}|\d{2})"
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})[-/.:](?P<month>\d{1,2})[-/.:](?P<day>\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(?P<one>\d{1,2})(?P<sign>[-/.])\s?(?P<two>\d{1,2})(?P=sign)\s?" + _YEAR + _TIME)
_DAY_NAME = re.compile(r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[-\s./]*(?P<name>[A-Za-z]{3,9})\.?[-\s./,]*" + _YEAR + _TIME)
_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3,9})\.?\s*(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s*(?P<year>\d{4})" + _TIME)
_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T_\s-]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?)?$"
)
_NUMBER = re.compile(r"\d{5,13}(?:\.\d+)?$")
_PARTIAL = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d{2}))?$")  # a year or a month: no day, but a date
_WEEKDAY = re.compile(r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXCEL_DAYS = (20_000, 80_000)  # 1954 to 2119
_LONGEST = 80  # characters of a date
_UNIX_SECONDS = (10**8, 4 * 10**9)  # 1973 to 2096


@dataclass(frozen=True)
class ParsedDates:
    """A column of dates as ISO 8601 text, and the rows where that was not plain."""

    iso: list[str]  # "" where absent or not readable
    unreadable: list[int]  # row numbers
    ambiguous: list[int]  # row numbers whose day and month could be swapped, where the column does not settle it
    order: DateOrder | None  # of the column's numeric dates, where it has any


def parse_dates(cells: Sequence[str], order: DateOrder | None = None) -> ParsedDates:
    """Parse a column of dates. What begins with an ISO date stays as it is.

    `5/1/2023` may be 5 January or 1 May. `order` settles it; without one, any date of the column that has a day above
    12 does. Where none has, dates with dots are day-first, and so are the others, but those are in `ambiguous`. Where
    dates of the column contradict each other, the ambiguous ones are unreadable.

    >>> parse_dates(["5/1/2023 9:05", "5/13/2023"]).iso
    ['2023-05-01 09:05:00', '2023-05-13']
    """
    settled = order or _order_of(cells)
    dotted = order is None and settled is None
    iso: list[str] = []
    unreadable: list[int] = []
    ambiguous: list[int] = []
    for row, cell in enumerate(cells):
        text, is_open = _iso(cell, settled) if cell else ("", False)
        if settled == "contradictory" and is_open:
            text = ""
        elif is_open and dotted and "." not in cell.split()[0]:
            ambiguous.append(row)
        if cell and not text:
            unreadable.append(row)
        iso.append(text)
    return ParsedDates(iso, unreadable, ambiguous, None if settled == "contradictory" else settled)


def day_of(text: str) -> int | None:
    """Return the number of the day that an ISO date begins with, 1 January of the year 1 being 1; `None` for no date.

    >>> day_of("0001-01-03 10:00"), day_of("spring")
    (3, None)
    """
    if not _ISO.match(text):
        return None
    try:
        return datetime.date.fromisoformat(text[:10]).toordinal()
    except ValueError:
        return None


def _order_of(cells: Sequence[str]) -> DateOrder | Literal["contradictory"] | None:
    """Return the order that the column's own dates prove."""
    proved: set[DateOrder] = set()
    for cell in cells:
        match = _YEAR_LAST.match(_plain(cell)) if len(cell) <= _LONGEST else None
        if match:
            one, two = int(match["one"]), int(match["two"])
            if one > 12 >= two:
                proved.add("day-first")
            elif two > 12 >= one:
                proved.add("month-first")
    return "contradictory" if len(proved) > 1 else next(iter(proved), None)


def _plain(cell: str) -> str:
    return _WEEKDAY.sub("", " ".join(cell.strip().strip("'\"").split()))


def _iso(cell: str, order: str | None) -> tuple[str, bool]:
    """Return ISO text ("" for no date), and whether day and month could be swapped."""
    if len(cell) > _LONGEST:
        return "", False
    for text in (cell, _plain(cell)):
        if _ISO.match(text):
            return (text if day_of(text) is not None else ""), False
    text = _plain(cell)
    if match := _YEAR_LAST.match(text):
        return _year_last(match, order)
    readers = (_year_first, _with_month_name, _compact, _number, _partial)
    return next((found for found in (reader(text) for reader in readers) if found), ""), False


def _year_last(match: re.Match[str], order: str | None) -> tuple[str, bool]:
    one, two, year = int(match["one"]), int(match["two"]), _year(match["year"])
    is_open = one <= 12 and two <= 12 and one != two
    month_first = two > 12 if one > 12 or two > 12 else order == "month-first"
    day, month = (two, one) if month_first else (one, two)
    return _written(match, year, month, day), is_open


def _year_first(text: str) -> str:
    match = _YEAR_FIRST.match(text)
    return _written(match, int(match["year"]), int(match["month"]), int(match["day"])) if match else ""


def _with_month_name(text: str) -> str:
    match = _DAY_NAME.match(text) or _NAME_DAY.match(text)
    if match is None:
        return ""
    name = match["name"].lower()
    month = next((place for place, one in enumerate(_MONTHS, 1) if name.startswith(one)), 0)
    return _written(match, _year(match["year"]), month, int(match["day"]))


def _compact(text: str) -> str:
    match = _COMPACT.match(text)
    if match is None or not 1900 <= int(match["year"]) <= 2100:
        return ""
    when = _written(None, int(match["year"]), int(match["month"]), int(match["day"]))
    if not when or match["hour"] is None:
        return when
    return _with_time(when, [match["hour"], match["minute"], match["second"] or "00"])


def _number(text: str) -> str:
    return _of_number(float(text)) if _NUMBER.match(text) else ""


def _partial(text: str) -> str:
    match = _PARTIAL.match(text)
    is_date = match is not None and 1800 <= int(match["year"]) <= 2200 and 1 <= int(match["month"] or 1) <= 12
    return text if is_date else ""


def _year(text: str) -> int:
    """Return a year; of two digits, the one from 1970 to 2069."""
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year >= 70 else 2000)


def _written(match: re.Match[str] | None, year: int, month: int, day: int) -> str:
    try:
        when = datetime.date(year, month, day).isoformat()
    except ValueError:
        return ""
    if match is None or not match["time"]:
        return when
    clock = match["time"].replace(",", ".").split(":")
    clock = [*clock, "00"] if len(clock) == 2 else clock
    if match["half"]:
        hour = int(clock[0]) % 12 + (12 if match["half"].lower().startswith("p") else 0)
        clock[0] = str(hour)
    text = _with_time(when, clock)
    zone = match["zone"] or ""
    return text + ("+00:00" if zone in ("Z", "UTC", "GMT") else zone) if text else ""


def _with_time(when: str, clock: Sequence[str]) -> str:
    hour, minute, second = int(clock[0]), int(clock[1]), int(float(clock[2]))
    if hour > 23 or minute > 59 or second > 60:
        return ""
    return f"{when} {hour:02d}:{minute:02d}:{min(second, 59):02d}"


def _of_number(value: float) -> str:
    """Return the date of unix seconds, unix milliseconds, or a spreadsheet's day number; "" for another number."""
    if _EXCEL_DAYS[0] <= value <= _EXCEL_DAYS[1]:
        when = datetime.datetime(1899, 12, 30) + datetime.timedelta(days=value)
        return when.strftime("%Y-%m-%d" if value.is_integer() else "%Y-%m-%d %H:%M:%S")
    seconds = value / 1000 if value > 10**11 else value
    if not _UNIX_SECONDS[0] <= seconds <= _UNIX_SECONDS[1]:
        return ""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
