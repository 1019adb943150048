"""Damaged and hostile input for the fuzz tests, and what a reader may do with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from animalclef.errors import AnimalClefError

__all__ = ["FEW", "MANY", "damaged", "hostile_cells", "json_values", "reads", "with_a_wrong_value"]

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))  # `make fuzz` sets many more

_COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": "FUZZ_EXAMPLES" not in os.environ,  # the short part of `make test` is the same every time
    "suppress_health_check": list(HealthCheck),
}
MANY = settings(max_examples=_EXAMPLES * 2, **_COMMON)
FEW = settings(max_examples=max(10, _EXAMPLES // 2), **_COMMON)
"""With FUZZ_EXAMPLES=500: about 4,000 tables, 2,750 photographs, 1,250 weight files, 1,000 each of settings, decisions
and ledgers, 1,000 flipped bytes and 1,000 wrong values in run folders."""


def reads(call: Callable[[], Any]) -> Any:
    """Return what a reader returns, or `None` where it raises an error for the user; anything else fails the test."""
    try:
        return call()
    except AnimalClefError as error:
        sentence = str(error)
        assert 0 < len(sentence) <= 500, len(sentence)
        assert not any(ord(one) < 32 and one not in "\n\t" for one in sentence), repr(sentence)
        return None


def damaged(content: bytes, most: int = 6) -> st.SearchStrategy[bytes]:
    """Return the content with bytes changed, cut out, repeated or inserted."""
    place = st.integers(0, max(0, len(content) - 1))
    edit = st.one_of(
        st.tuples(st.just("set"), place, st.binary(min_size=1, max_size=1)),
        st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("cut"), place, st.binary(min_size=1, max_size=30)),
        st.tuples(st.just("repeat"), place, st.binary(min_size=1, max_size=30)),
        st.tuples(st.just("end"), place, st.just(b"")),
    )
    return st.lists(edit, min_size=1, max_size=most).map(lambda edits: _edited(content, edits))


def with_a_wrong_value(data: st.DataObject, content: Any) -> Any:
    """Return a copy of a JSON value in which one value at any depth is another one."""
    copy = {"": json.loads(json.dumps(content))}
    node: Any = copy
    key: Any = ""
    for step in data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=6)):
        inner = node[key]
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
        if not keys:
            break
        node, key = inner, keys[step % len(keys)]
    node[key] = data.draw(json_values)
    return copy[""]


def _edited(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, piece in edits:
        at = min(place, len(content))
        if kind == "set":
            content = content[:at] + piece + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + piece + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + len(piece) :]
        elif kind == "repeat":
            content = content[:at] + content[at : at + len(piece)] * 3 + content[at:]
        else:
            content = content[:at]
    return content


hostile_cells = st.one_of(
    st.text(max_size=30),
    st.sampled_from([
        "", "NA", "-", "new_individual", "[/red]", "\x1b[31m", "a\rb", "../../etc/passwd", "/etc/passwd", "C:\\x.jpg",
        "1e309", "-1", "9" * 5000, "[" * 3000, '{"size":[1000000000,1000000000],"counts":[1]}', "[[0,0,1e300,1,2,2]]",
        "[0,0,1,1]", "[1,2,3,4,5,6]", "2023-13-45", "5/1/2023", "99/99/9999", "1e400", "\u202e", "\ufeff", "\u0661",
        "NaN", "Infinity", "\ud7ff", "query", "database", "x" * 70_000, '{"a":' * 500, "\u2028",
    ]),
)  # fmt: skip

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
