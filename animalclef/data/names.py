"""Names of individuals, viewpoints and missing values, however they are spelled."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "Spellings",
    "comparable",
    "is_missing",
    "looks_missing",
    "near_spelling",
    "one_spelling",
    "spelled_as",
    "viewpoint_name",
]

# Cells that say nothing, as R, pandas, spreadsheets and people write them; compared in lower case.
_MISSING = frozenset({
    "", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "nan", "nat", "none", "null", "<na>", "-", "--", "?", "??", "???",
    ".", "-9999", "(none)", "(null)", "[]", "#n/a n/a", "-nan", "1.#qnan",
})  # fmt: skip

_NOBODY = frozenset({"unknown", "unidentified", "not identified", "unidentifiable", "unknown individual"})
_LOOKALIKE = re.compile(
    r"(?:un-?(?:k|kn|kwn|knwn|known|named|identified|id|ided|identifiable|assigned|certain|sure|labell?ed|determined))"
    r"[\W_]*\d{0,3}|not?[ _]?(?:id|name|known|sure|identified|available|applicable)|no[ _]?id|nobody|missing|empty"
    r"|(?:new|untitled) folder|to[ _]identify|unidentified \w+"
    r"|tbd|tba|to be \w+|new|new[ _]?(?:animal|individual)|n\W?[ad]\W?|[\W_]+|individual unknown|unknown \w+"
    r"|[?\W]*unknown[?\W]*|undefined|void|\W?(?:nil|null|blank|none)\W?|indet(?:\.|erminate|ermined)?|x{2,}|error"
    r"|#\w+[!?]?|-\d+|inconnue?|desconoc?id[oa]|desconhecid[oa]|unbekannt|sconosciut[oa]|onbekend",
    re.IGNORECASE,
)

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f]")  # beside the category Cf
_VIEWPOINTS = {
    "l": "left", "lt": "left", "lhs": "left", "left side": "left", "left flank": "left", "leftside": "left",
    "r": "right", "rt": "right", "rhs": "right", "right side": "right", "right flank": "right", "rightside": "right",
    "front side": "front", "frontal": "front", "back side": "back", "rear": "back",
}  # fmt: skip


@dataclass(frozen=True)
class Spellings:
    """Names with one spelling each, and the spellings that were brought together."""

    names: list[str]
    merged: list[tuple[str, str]]  # (spelling as it stands in the table, spelling that is used)


def is_missing(cell: str, *, name: bool = False) -> bool:
    """Return whether a cell says nothing. With `name`, words for an animal or a viewpoint that nobody knows count too.

    >>> is_missing("#N/A"), is_missing("Unidentified"), is_missing("Unidentified", name=True)
    (True, False, True)
    """
    text = " ".join(cell.lower().split())
    return text in _MISSING or set(text) == {"_"} or (name and text in _NOBODY)


def looks_missing(name: str) -> bool:
    """Return whether a name that is read as an individual's looks like a word for a missing one.

    >>> looks_missing("unkn"), looks_missing("Una")
    (True, False)
    """
    return len(name) <= 40 and _LOOKALIKE.fullmatch(name.strip()) is not None


def comparable(name: str) -> str:
    """Return what two spellings of one name share: no case, one kind of space, composed accents, nothing invisible.

    >>> comparable("Zoe\\u0308 ") == comparable("zo\\u00eb\\u200b")
    True
    """
    composed = unicodedata.normalize("NFC", name)
    composed = _INVISIBLE.sub("", composed)
    seen = "".join(one for one in composed if unicodedata.category(one) not in ("Cf", "Cc") or one.isspace())
    return " ".join(seen.casefold().split())


def near_spelling(name: str) -> str:
    """Return what names share that may be one individual's: also kinds of dashes, leading zeros, a decimal `.0`.

    >>> near_spelling("A-01"), near_spelling("a_1"), near_spelling("12.0")
    ('a-1', 'a-1', '12')
    """
    text = comparable(unicodedata.normalize("NFKC", name))
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "-", re.sub(r"^(\d+)\.0+$", r"\1", text)))


def one_spelling(names: Sequence[str], groups: Sequence[str], *, merge: bool = True) -> Spellings:
    """Give every name of a group (a data set) one spelling: the most frequent one, of equal ones the first.

    Without `merge` every name stays as it is.

    >>> one_spelling(["Ada", "ada", "Ada", "Bo"], ["newts"] * 4)
    Spellings(names=['Ada', 'Ada', 'Ada', 'Bo'], merged=[('ada', 'Ada')])
    """
    if not merge:
        return Spellings(list(names), [])
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for name, group in zip(names, groups, strict=True):
        if name:
            counts[group, comparable(name)][name] += 1
    chosen = {key: spellings.most_common(1)[0][0] for key, spellings in counts.items()}
    pairs = {(spelling, chosen[key]) for key, spellings in counts.items() for spelling in spellings}
    merged = sorted((spelling, used) for spelling, used in pairs if spelling != used)
    rows = zip(names, groups, strict=True)
    return Spellings([chosen[group, comparable(name)] if name else name for name, group in rows], merged)


def spelled_as(
    names: Sequence[str | None], groups: Sequence[str], known: Iterable[tuple[str, str]]
) -> list[str | None]:
    """Return names in the spelling that `known` (group, name) has for them; other names stay as they are.

    >>> spelled_as(["ada ", "Zoe", None], ["newts"] * 3, [("newts", "Ada")])
    ['Ada', 'Zoe', None]
    """
    spelling = {(group, comparable(name)): name for group, name in known}
    pairs = zip(names, groups, strict=True)
    return [None if name is None else spelling.get((group, comparable(name)), name) for name, group in pairs]


def viewpoint_name(cell: str) -> str:
    """Return a viewpoint in lower case, with one spelling for left and right.

    >>> viewpoint_name("LEFT "), viewpoint_name("R"), viewpoint_name("topleft")
    ('left', 'right', 'topleft')
    """
    text = comparable(cell)
    return _VIEWPOINTS.get(re.sub(r"[-_.]", " ", text).strip(), text)
