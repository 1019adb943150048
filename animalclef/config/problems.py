"""Explain what is wrong with settings, in a sentence per setting."""

from __future__ import annotations

import re
import reprlib
import types
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from animalclef.errors import nearest, shortened, suggestion

__all__ = ["explain"]

_WORDS = {str: "text", int: "a whole number", float: "a number", date: "a day (YYYY-MM-DD)"}


def explain(error: ValidationError, source: object, model: type[BaseModel]) -> str:
    """Return the first five problems of settings read from `source`, and the number of further ones."""
    sentences = list(dict.fromkeys(_sentences(error, model)))
    more = f" And {len(sentences) - 5} more." if len(sentences) > 5 else ""
    return f"{source or 'settings'}: " + " ".join(sentences[:5]) + more


def _sentences(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    by_union: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    problems = [one for one in error.errors() if one["type"] != "default_factory_not_called"]  # follows from another
    places = [_union_of(model, one["loc"]) for one in problems]
    for problem, (place, _) in zip(problems, places, strict=True):
        by_union.setdefault(place, []).append(problem)
    for problem, (place, kinds) in zip(problems, places, strict=True):
        key = _key(place)
        if problem["type"] == "extra_forbidden":
            yield f"{key}: no such setting{_nearest(key, model)}"
        elif not kinds:
            yield _sentence(key, problem)
        elif all(_is_of_another_kind(one, place) for one in by_union[place]):
            *most, last = words = [word for kind in kinds for word in _words(kind)]
            near = suggestion(str(problem["input"]), words)
            yield f"{key} is {', '.join(most)} or {last}; got {_echoed(problem['input'])}.{near}"
        elif not _is_of_another_kind(problem, place):
            yield _sentence(_key((*place, *problem["loc"][len(place) + 1 :])), problem)


def _key(place: tuple[int | str, ...]) -> str:
    return shortened(".".join(str(part) for part in place), 80)


def _sentence(key: str, problem: ErrorDetails) -> str:
    if problem["type"] in ("tuple_type", "list_type"):
        given = problem["input"]
        return f"{key}: a list is due, {f'such as [{given}]' if isinstance(given, str) else f'got {_echoed(given)}'}."
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    known = re.findall(r"[\w.-]+", message.partition("expected one of ")[2])
    if problem["type"] == "literal_error":
        known = re.findall("'([^']+)'", message)
    return f"{key}: {message}, got {_echoed(problem['input'])}.{suggestion(str(problem['input']), known)}"


def _union_of(model: Any, place: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], list[Any]]:
    """Return the first setting on the way to a problem that may be of several kinds, and these; else the way, and none.

    pydantic reports such a setting once per kind, with the kind as a further part of the way.
    """
    kind = model
    for depth, part in enumerate(place):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else None
        else:
            kind = next(iter(get_args(kind)[get_origin(kind) is dict :]), None)  # of a list, or of a mapping's values
        kinds = _kinds(kind)
        if len(kinds) > 1 and depth + 1 < len(place):
            return place[: depth + 1], kinds
        kind = kinds[0]
    return place, []


def _kinds(kind: Any) -> list[Any]:
    """Return what a setting may be, besides null; constraints are left out."""
    if get_origin(kind) not in (Union, types.UnionType):
        return [kind]
    return [one.__origin__ if hasattr(one, "__metadata__") else one for one in get_args(kind) if one is not type(None)]


def _is_of_another_kind(problem: ErrorDetails, place: tuple[int | str, ...]) -> bool:
    is_about_kind = problem["type"].endswith(("_type", "_parsing")) or problem["type"] == "literal_error"
    return is_about_kind and len(problem["loc"]) == len(place) + 1


def _words(kind: Any) -> list[str]:
    """Return a kind in words; lists and mappings beside other kinds are by data set."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is dict:
        return ["a mapping such as {CatID: VALUE}"]
    return [_WORDS.get(kind, "a list of data sets such as [CatID]")]


def _echoed(value: object) -> str:
    """Return a value as it was given, cut where it is long."""
    return shortened(reprlib.repr(value) if isinstance(value, dict | list) else repr(value), 80)


def _nearest(key: str, model: type[BaseModel]) -> str:
    keys = list(_keys(model))
    if key in keys:
        group, _, setting = key.partition(".")
        return f": in YAML, write {group}: {{{setting}: ...}}."
    by_leaf = {known.rsplit(".", 1)[-1]: known for known in keys}
    close, close_leaf = nearest(key, keys), nearest(key.rsplit(".", 1)[-1], by_leaf)
    best = close[0] if close else by_leaf[close_leaf[0]] if close_leaf else None
    top = ", ".join(model.model_fields)
    return f"; did you mean {best}?" if best else f"; known: {top}. `animalclef config show` lists what is in them."


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from _keys(nested, f"{prefix}{name}.")
        yield f"{prefix}{name}"
