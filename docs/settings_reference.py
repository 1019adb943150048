"""Write docs/settings.md from the settings themselves: python docs/settings_reference.py"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from animalclef.config import Config, TrainConfig, TrainMatcherConfig
from animalclef.config.training import StudyConfig, TrainSegmenterConfig

PAGE = Path(__file__).with_name("settings.md")

TREES: Mapping[str, tuple[type[BaseModel], str]] = {
    "A run": (Config, "`predict` and every command with `--config` and `--set`."),
    "Training an embedder": (TrainConfig, "`train --config RECIPE --set KEY=VALUE`; see [Training](training.md)."),
    "Training a matcher": (TrainMatcherConfig, "`train-matcher --config RECIPE --set KEY=VALUE`."),
    "Training a segmenter": (TrainSegmenterConfig, "`train-segmenter --config RECIPE --set KEY=VALUE`."),
    "A study": (StudyConfig, "`study --config STUDY`; see [Training](training.md)."),
}

HEAD = """# Settings

This page is written by `docs/settings_reference.py` from the settings in `animalclef/config/`; do not edit it.

Defaults are in code. A YAML file (`--config FILE`) holds what differs, and `--set KEY=VALUE` changes one setting; the
key is the one in the first column. Lists and mappings are YAML: `--set "keypoints.views={NewtID: [rot90]}"`. A mistyped
key is an error, and the message suggests the right one. Print all settings of a run with their values, as YAML:

```sh
animalclef config show
animalclef config show --config animalclef2025 --set retrieve.top_k=50
```
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(*entry) for entry in _entries())]).rstrip("\n") + "\n"


def _entries() -> Iterator[tuple[str, type[BaseModel], str]]:
    for title, (tree, used_by) in TREES.items():
        yield title, tree, used_by


def section(title: str, tree: type[BaseModel], used_by: str) -> str:
    """Return one tree: a table for its own settings and one for each group in it."""
    lines = [f"## {title}\n", f"{used_by}\n"]
    for prefix, group in groups(tree):
        lines += [f"### `{prefix}`\n"] if prefix else []
        lines += [f"{_cell(group.__doc__ or '')}\n"] if prefix and group.__doc__ else []
        lines += ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
        for name, field in group.model_fields.items():
            if not _is_group(field.annotation):
                key = f"{prefix}.{name}" if prefix else name
                lines.append(f"| `{key}` | {_values(field)} | {_default(field)} | {_cell(field.description or '')} |")
        lines.append("")
    return "\n".join(lines)


def groups(tree: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the dotted prefix and the model of a tree and of every group in it that has settings of its own."""
    if any(not _is_group(field.annotation) for field in tree.model_fields.values()):
        yield prefix, tree
    for name, field in tree.model_fields.items():
        if _is_group(field.annotation):
            yield from groups(typing.cast("type[BaseModel]", field.annotation), f"{prefix}.{name}".lstrip("."))


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _values(field: FieldInfo) -> str:
    limits = ", ".join(_limit(one) for one in field.metadata if _limit(one))
    text = _type(field.annotation)
    return _cell(f"{text}, {limits}" if limits else text)


def _limit(constraint: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " ".join(f"{sign} {getattr(constraint, name)}" for name, sign in signs.items() if hasattr(constraint, name))


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "nothing"
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (typing.Union, UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in inner))
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type(inner[0])}" if inner else "list"
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
    plain = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None and field.default_factory_takes_validated_data:
        return "see right"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "-"
    if isinstance(value, BaseModel) or value in ("", (), [], {}):
        return "empty"
    shown = list(value) if isinstance(value, tuple) else value
    return f"`{shown}`" if isinstance(shown, str) else f"`{json.dumps(shown, default=str)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
