"""Render the page of a report, with its style and script inside."""

from __future__ import annotations

import math
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from animalclef.evaluation.evaluate import Interval
from animalclef.report.summary import Page

__all__ = ["render_page"]


def render_page(page: Page, data: Any, sign: str) -> str:
    """Render the HTML; without `data` the page reads `data.js` beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("animalclef.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "interval": _interval}
    return environment.get_template("report.html.j2").render(
        page=page, data=data, sign=Markup(sign), style=_asset("report.css"), script=_asset("report.js")
    )


def _asset(name: str) -> Markup:
    """Return the text of a file of the package."""
    return Markup(resources.files("animalclef.report").joinpath("assets", name).read_text(encoding="utf-8"))


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _interval(value: Interval | None) -> str:
    return "–" if value is None else f"{value.mean:.3f} [{value.low:.2f}, {value.high:.2f}]"
