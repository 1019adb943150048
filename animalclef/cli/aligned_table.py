"""Lay rows out as a table for the console."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, Literal

from rich import box
from rich.table import Table

__all__ = ["aligned_table", "number_cell"]


def aligned_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], mean: Sequence[Any] = (), note: str = ""
) -> Table:
    """Return a table that fits 80 columns: numbers are right-aligned and never wrapped.

    Fractions get three digits. `mean` is a last line, `note` stands below the table.
    """
    table = Table(
        title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD,
        collapse_padding=True, caption=note or None, caption_justify="left",
    )  # fmt: skip
    for place, name in enumerate(header):
        wraps = name in ("weights", "viewpoints", "individual")
        justify: Literal["left", "right"] = "left" if place == 0 or wraps or name in ("species", "source") else "right"
        table.add_column(name, justify=justify, no_wrap=not wraps)
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
