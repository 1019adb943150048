"""The base classes of all settings, and settings written as YAML with a comment for every key."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

__all__ = ["DIGEST", "FileName", "Member", "Seed", "Settings", "check_distinct", "commented_yaml"]

logger = logging.getLogger(__name__)

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
Seed = Annotated[int, Field(ge=0, le=2_000_000_000)]

DIGEST = "digest"  # the context in which settings are dumped with those that are fixed
_WIDTH = 100  # characters of a comment line


class Settings(BaseModel):
    """A frozen group of settings; an unknown key is an error, and so is infinity as a number.

    `gone` and `fixed` hold the settings of earlier versions that measured no gain, with what they were by default;
    those that are `fixed` are still part of digests, so that what was computed with them is found. Shipped files of
    such settings lie in the folder `shipped_in` of configs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    shipped_in: ClassVar[str] = "training"
    gone: ClassVar[dict[str, Any]] = {}
    fixed: ClassVar[dict[str, Any]] = {}

    def digested(self, **chosen: Any) -> dict[str, Any]:
        """Return the values that digests are made of, in JSON's types; `chosen` is include or exclude."""
        return self.model_dump(mode="json", context=DIGEST, **chosen)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what is not the default, so that settings can be read in a notebook."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            default = field.get_default(call_default_factory=True, validated_data=self.__dict__)
            if value != default:
                yield name, value

    @model_validator(mode="before")
    @classmethod
    def _without_what_has_gone(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        no_more = cls.gone | cls.fixed
        for name in sorted(no_more.keys() & given.keys()):
            value = list(given[name]) if isinstance(given[name], tuple) else given[name]
            if value != no_more[name]:
                told = "%s: this setting of an earlier version has gone and has no effect (see CHANGELOG). Remove it."
                logger.warning(told, name)
        return {name: value for name, value in given.items() if name not in no_more}

    @model_serializer(mode="wrap")
    def _with_what_is_fixed(self, plain: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        return self.fixed | values if info.context == DIGEST else values

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        kinds = {kind, *get_args(kind)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise PydanticCustomError("number", "a number is expected")
        return value


class Member(Settings):
    """A further model beside the first."""

    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._+-]+$", description="of its scores, as in similarity:NAME; default: the model's"
    )
    optional: bool = Field(False, description="left out where its weights are not on this machine")

    @property
    def default_label(self) -> str:
        """The label where no name is given."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What its scores are called by: its name, or that of its model."""
        return self.name or re.sub(r"[^A-Za-z0-9._+-]", "_", self.default_label)


def check_distinct(members: Sequence[Member]) -> None:
    """Check that members have labels of their own.

    Raises:
        ValueError: two are called alike.
    """
    labels = [one.label for one in members]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two members are called {label}; give one of them another name")


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
