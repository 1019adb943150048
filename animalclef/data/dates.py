"""Dates as people, cameras and spreadsheets write them, to ISO 8601."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from animalclef.config.data import DateOrder

__all__ = ["ParsedDates", "day_of", "parse_dates"]

_SPAN = 10  # years: an order by which a column spans so many more than by another one is not meant

_TIME = (
    r"(?:[T\s,]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?$"
)
_YEAR = r"(?P<year>\d{4}|\d{2})"
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})[-/.:]\s?(?P<month>\d{1,2})[-/.:]\s?(?P<day>\d{1,2})\.?" + _TIME)
_YEAR_LAST = re.compile(r"(?P<one>\d{1,2})(?P<sign>[-/.])\s?(?P<two>\d{1,2})(?P=sign)\s?" + _YEAR + _TIME)
_DAY_NAME = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|°)?[-\s./]*(?:de\s)?(?P<name>[^\W\d_]{3,10})\.?[-\s./,]*(?:del?\s)?"
    + _YEAR
    + _TIME
)
_NAME_DAY = re.compile(
    r"(?P<name>[A-Za-z]{3,9})\.?[-\s]*(?P<day>\d{1,2})(?:st|nd|rd|th)?,?[-\s]*(?P<year>\d{4})" + _TIME
)
_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T_\s-]?(?P<hour>\d{2}):?(?P<minute>\d{2}):?(?:(?P<second>\d{2})(?:(?<=\d{6})\d{1,9})?)?(?:[.,]\d+)?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?$"
)  # digits behind the seconds are a fraction, also without a dot where the time has no colons
_CLOCK_BEFORE_YEAR = re.compile(
    r"(?P<name>[A-Za-z]{3,9})\s+(?P<day>\d{1,2})\s+(?P<time>\d{1,2}:\d{2}:\d{2})(?P<half>)(?P<zone>\s[A-Z]{3,4})?\s"
    r"(?P<year>\d{4})$"
)  # as `date` and C print it
_NUMBER = re.compile(r"\d{5,19}(?:[.,]\d+)?$|\d[.,]\d+[eE]\+?\d{1,2}$")
_PARTIAL = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d{2}))?$")  # a year or a month: no day, but a date
_WEEKDAY = re.compile(r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+", re.IGNORECASE)
_MONTHS = tuple(  # how names begin, without accents: English, German, French, Spanish, Portuguese, Italian
    tuple(names.split())
    for names in (
        "jan ene gen", "feb fev", "mar", "apr avr abr", "may mai mag", "jun juin giu", "jul juil lug", "aug aou ago",
        "sep set", "oct okt out ott", "nov", "dec dez dic",
    )
)  # fmt: skip
_EXCEL_DAYS = (20_000, 80_000)  # 1954 to 2119
_CHINESE = str.maketrans({"年": "-", "月": "-", "日": " "})
_LONGEST = 80  # characters of a date
_UNIX_SECONDS = (10**8, 4 * 10**9)  # 1973 to 2096
_UNIX_DIGITS = {9: 1, 10: 1, 13: 10**3, 16: 10**6, 19: 10**9}  # how many units a second has, by digits of the number


@dataclass(frozen=True)
class ParsedDates:
    """A column of dates as ISO 8601 text, and the rows where that was not plain."""

    iso: list[str]  # "" where absent or not readable
    unreadable: list[int]  # row numbers
    ambiguous: list[int]  # row numbers that could be read in several orders, where the column does not settle it
    possible: tuple[DateOrder, ...]  # orders that fit the whole column, where it does not settle one


def parse_dates(cells: Sequence[str], order: DateOrder | None = None) -> ParsedDates:
    """Parse a column of dates. What begins with an ISO date stays as it is.

    `5/1/2023` may be 5 January or 1 May, and `23-05-01` 2023 or 2001. `order` settles it; without one, the dates of the
    column that fit one order alone do, and years that lie close together. Where nothing settles it, dates with dots are
    day-first, and so are the others, but those are in `ambiguous`. Where dates of the column contradict each other, the
    ambiguous ones are unreadable. Of two digits, 50 to 99 are the years 1950 to 1999.

    >>> parse_dates(["5/1/2023 9:05", "5/13/2023"]).iso
    ['2023-05-01 09:05:00', '2023-05-13']
    """
    plain = [_plain(cell) if len(cell) <= _LONGEST else "" for cell in cells]
    readings = [_readings(text) for text in plain]
    possible = _possible(readings) if order is None else (order,)
    iso: list[str] = []
    unreadable: list[int] = []
    ambiguous: list[int] = []
    for row, (cell, found) in enumerate(zip(cells, readings, strict=True)):
        text = _chosen(found, possible) if found else _iso(cell, plain[row])
        if text and len(possible) > 1 and len(set(found.values())) > 1 and "." not in cell.split()[0]:
            ambiguous.append(row)
        if cell and not text:
            unreadable.append(row)
        iso.append(text)
    return ParsedDates(iso, unreadable, ambiguous, possible if ambiguous else ())


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


def _readings(text: str) -> dict[DateOrder, str]:
    """Return the ISO text of a numeric date by every order in which it is a date; empty for other texts."""
    match = _YEAR_LAST.match(text)
    if match is None or _ISO.match(text):
        return {}
    one, two, last = match["one"], match["two"], match["year"]
    parts: dict[DateOrder, tuple[str, str, str]] = {"day-first": (last, two, one), "month-first": (last, one, two)}
    if len(one) == len(last) == 2:
        parts["year-first"] = (one, two, last)
    texts = {order: _written(match, _year(y), int(month), int(day)) for order, (y, month, day) in parts.items()}
    return {order: iso for order, iso in texts.items() if iso}


def _possible(readings: Sequence[Mapping[DateOrder, str]]) -> tuple[DateOrder, ...]:
    """Return the orders that fit every numeric date of a column, and by which its years lie close together."""
    dates = [one for one in readings if one]
    fitting = [order for order in get_args(DateOrder) if dates and all(order in one for one in dates)]
    years = {order: [int(one[order][:4]) for one in dates] for order in fitting}
    spans = {order: max(years[order]) - min(years[order]) for order in fitting}
    close = [order for order in fitting if spans[order] < min(spans.values()) + _SPAN]
    return tuple(sorted(close, key=lambda order: spans[order]))


def _chosen(readings: Mapping[DateOrder, str], possible: Sequence[DateOrder]) -> str:
    """Return a date in the column's order, or the only way in which it is a date; "" where that is not clear."""
    ways = set(readings.values())
    if possible and possible[0] in readings:
        return readings[possible[0]]
    return ways.pop() if len(ways) == 1 else ""


def _plain(cell: str) -> str:
    plain = " ".join(cell.strip().strip("'\"").translate(_CHINESE).split())
    return _WEEKDAY.sub("", plain).rstrip(".")


def _iso(cell: str, text: str) -> str:
    """Return the ISO text of a date whose order is plain, "" for no date; `text` is the cell without decoration."""
    if not text:
        return ""
    for given in (cell, text):
        if _ISO.match(given):
            return given if day_of(given) is not None else ""
    readers = (_year_first, _with_month_name, _compact, _number, _partial)
    return next((found for found in (reader(text) for reader in readers) if found), "")


def _year_first(text: str) -> str:
    match = _YEAR_FIRST.match(text)
    return _written(match, int(match["year"]), int(match["month"]), int(match["day"])) if match else ""


def _with_month_name(text: str) -> str:
    match = _DAY_NAME.match(text) or _NAME_DAY.match(text) or _CLOCK_BEFORE_YEAR.match(text)
    if match is None:
        return ""
    name = match["name"].lower()
    name = "".join(one for one in unicodedata.normalize("NFD", name) if not unicodedata.combining(one))
    month = next((place for place, names in enumerate(_MONTHS, 1) if name.startswith(names)), 0)
    return _written(match, _year(match["year"]), month, int(match["day"]))


def _compact(text: str) -> str:
    match = _COMPACT.match(text)
    if match is None or not 1900 <= int(match["year"]) <= 2100:
        return ""
    when = _written(None, int(match["year"]), int(match["month"]), int(match["day"]))
    if not when or match["hour"] is None:
        return when
    text = _with_time(when, [match["hour"], match["minute"], match["second"] or "00"])
    return text + (match["zone"] or "").replace("Z", "+00:00") if text else ""


def _number(text: str) -> str:
    """Return the date of unix seconds (or milli-, micro-, nanoseconds), or a spreadsheet's day number; else ""."""
    if not _NUMBER.match(text):
        return ""
    value = float(text.replace(",", "."))
    if _EXCEL_DAYS[0] <= value <= _EXCEL_DAYS[1]:
        when = datetime.datetime(1899, 12, 30) + datetime.timedelta(days=value)
        return when.strftime("%Y-%m-%d" if value.is_integer() else "%Y-%m-%d %H:%M:%S")
    units = _UNIX_DIGITS.get(len(str(int(value))))
    if units is None or not _UNIX_SECONDS[0] <= value / units <= _UNIX_SECONDS[1]:
        return ""
    return datetime.datetime.fromtimestamp(int(value / units), datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _partial(text: str) -> str:
    match = _PARTIAL.match(text)
    is_date = match is not None and 1800 <= int(match["year"]) <= 2200 and 1 <= int(match["month"] or 1) <= 12
    return text if is_date else ""


def _year(text: str) -> int:
    """Return a year; of two digits, the one from 1950 to 2049."""
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year >= 50 else 2000)


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
    zone = (match["zone"] or "").strip()
    zone = "+00:00" if zone in ("Z", "UTC", "GMT") else "" if zone.isalpha() else zone
    return text + zone if text else ""


def _with_time(when: str, clock: Sequence[str]) -> str:
    hour, minute, second = int(clock[0]), int(clock[1]), int(float(clock[2]))
    if hour > 23 or minute > 59 or second > 60:
        return ""
    return f"{when} {hour:02d}:{minute:02d}:{min(second, 59):02d}"
