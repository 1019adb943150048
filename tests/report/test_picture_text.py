"""Text in pictures: characters that the usual font lacks are drawn in another one, or as codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from animalclef.report import picture_text
from animalclef.report.picture_text import write_text
from animalclef.structures.arrays import Pixels

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(autouse=True)
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The fonts of the machine: none, unless a test adds some."""
    found: list[str] = []
    monkeypatch.setattr(picture_text, "findSystemFonts", lambda: found)
    _forget()
    yield found
    _forget()


def _forget() -> None:
    for remembered in (picture_text._fonts, picture_text._font_with):
        remembered.cache_clear()


def drawn(text: str) -> Pixels:
    pixels = np.zeros((26, 300, 3), dtype=np.uint8)
    write_text(pixels, text, (8, 4), (255, 255, 255))
    return pixels


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Luna \U0001f40d", "Luna [U+1F40D]"),
        ("\u5c0f\u9f99: 3", "[U+5C0F][U+9F99]: 3"),
        ("\U0001f469\u200d\U0001f467", "[U+1F469]\u200d[U+1F467]"),
        ("\u2764\ufe0f", "\u2764"),
        ("one\nline", "one[U+000A]line"),
        ("Zoe\u0308 \u05e0\u05d0", "Zoe\u0308 \u05e0\u05d0"),
    ],
)
def test_a_character_that_no_font_has_is_its_code(text: str, shown: str) -> None:
    assert "".join(part for _, part in picture_text._parts(text)) == shown
    assert (drawn(text) == drawn(shown)).all()
    assert drawn(text).any()


def test_a_character_comes_from_a_font_of_the_machine(fonts: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    stix = str(FONTS / "STIXGeneral.ttf")
    fonts += [str(tmp_path / "broken.ttf"), str(FONTS / "LastResortHE-Regular.ttf"), stix]
    usual = str(FONTS / "DejaVuSans.ttf")
    assert list(picture_text._parts("A \u1d81!")) == [(usual, "A "), (stix, "\u1d81"), (usual, "!")]
    first, last = drawn("A"), drawn("A \u1d81!")
    assert (last[:, :20] == first[:, :20]).all()
    assert last[:, 26:34].any()
    assert list(picture_text._parts("\u5c0f")) == [(usual, "[U+5C0F]")]
