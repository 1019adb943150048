"""Lay rows out as a table for the console."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, Literal

from rich import box
from rich.table import Table

__all__ = ["aligned_table", "number_cell"]

_MANY = 7  # columns, which stand closer to each other


def aligned_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], mean: Sequence[Any] = (), note: str = ""
) -> Table:
    """Return a table that fits 80 columns: numbers are right-aligned, never wrapped and never cut.

    Fractions get three digits. `mean` is a last line, `note` stands below the table.
    """
    table = Table(
        title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD,
        collapse_padding=True, padding=(0, 1 if len(header) < _MANY else 0), caption=note or None,
        caption_justify="left",
    )  # fmt: skip
    for place, name in enumerate(header):
        is_text = name in ("weights", "viewpoints", "individual", "source")
        justify: Literal["left", "right"] = "left" if place == 0 or is_text or name == "species" else "right"
        table.add_column(name, justify=justify, no_wrap=place > 0 and not is_text, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    if mean:
        table.add_section()
        table.add_row(*map(_text, mean), style="bold")
    return table


def _text(cell: Any) -> str:
    return str(cell) if isinstance(cell, str | Integral) else number_cell(cell)


def number_cell(value: float | None) -> str:
    """Return a number with three digits; NaN and `None` are a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
