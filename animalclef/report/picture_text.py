"""Write text into a picture: characters that its typeface lacks come from a font of this machine, or are codes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from animalclef.structures.arrays import Pixels

__all__ = ["write_text"]

_SIZE = 14
_USUAL = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
_VARIATION = re.compile("[\ufe00-\ufe0f]")  # choose between forms of the character before, such as a coloured one


def write_text(pixels: Pixels, text: str, at: Sequence[int], ink: tuple[int, int, int]) -> None:
    """Write one line into the pixels; `at` is x and y of its upper left corner.

    A character that no font has is written as its code, such as [U+1F40D].
    """
    page = Image.fromarray(pixels)
    pen, x, baseline = ImageDraw.Draw(page), float(at[0]), at[1] + _opened(_USUAL).getmetrics()[0]
    for path, part in _parts(text):
        font = _opened(path)
        pen.text((x, baseline), part, font=font, fill=ink, anchor="ls")
        x += font.getlength(part)
    pixels[:] = np.asarray(page)


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text in parts, each with a font that has all of its characters."""
    for path, characters in groupby(_VARIATION.sub("", text), _font_with):
        part = "".join(characters)
        yield path or _USUAL, part if path else "".join(map(_code, part))


def _code(character: str) -> str:
    """Return a character's code; nothing for one that only changes others, such as a joiner."""
    return "" if unicodedata.category(character) in ("Cf", "Mn") else f"[U+{ord(character):04X}]"


@cache
def _font_with(character: str) -> str | None:
    """Return the first font that has a character: the usual one, or one of this machine; `None` where none has."""
    if unicodedata.category(character) == "Cc":
        return None  # a new line would be one
    return next((path for path in _fonts() if ord(character) in _characters(path)), None)


@cache
def _fonts() -> list[str]:
    """Return the usual font, then those of this machine, regular ones first; not one that has a box for everything."""
    found = (path for path in findSystemFonts() if "LastResort" not in path)
    return [_USUAL, *sorted(found, key=lambda path: ("Regular" not in path, path))]


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the codes of a font's characters; none where it cannot be drawn, as one of coloured pictures."""
    try:
        _opened(path)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _opened(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, _SIZE)
