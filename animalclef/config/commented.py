"""Write settings as YAML with a comment for every key."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from animalclef.config.base import Settings

__all__ = ["commented_yaml"]

_WIDTH = 100  # characters of a comment line


def commented_yaml(settings: Settings) -> str:
    """Return YAML that loads as these settings; the description of each field stands above it as a comment."""
    return "\n".join(_lines(settings, "")) + "\n"


def _lines(settings: Settings, indent: str) -> list[str]:
    lines = []
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        is_group = isinstance(value, Settings)
        about = field.description or (_summary(value) if is_group else "")
        lines += [f"{indent}# {line}" for line in textwrap.wrap(about, _WIDTH - len(indent))]
        if is_group:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(indent + _key_and_value(name, values[name]))
    return lines


def _summary(settings: Settings) -> str:
    return (type(settings).__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _key_and_value(name: str, value: Any) -> str:
    """Return one line of YAML in flow style."""
    text = yaml.safe_dump({name: value}, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.strip()[1:-1]
