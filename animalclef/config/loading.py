"""Load settings: defaults in code, changed by a YAML file and by `--set`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib import resources
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from animalclef.config.base import DIGEST, Settings
from animalclef.config.problems import explain
from animalclef.config.tree import Config
from animalclef.errors import AnimalClefError, ConfigError, WeightsError, shortened, suggestion
from animalclef.runtime.wording import first_line

__all__ = ["changed_settings", "fingerprint", "load_config", "load_recipe", "refuse_removed", "shipped_configs"]

_REMOVED = {  # embedders and recipes
    "embedder-small": "it was removed because embedder-lite is better; use embedder-lite.",
    "embedder-tune": "it was removed with embedder-small; use embedder-lite-laptop.",
}
_MOST_BYTES, _MOST_VALUES = 10_000_000, 100_000  # of a YAML file

_AnySettings = TypeVar("_AnySettings", bound=Settings)


def load_config(
    source: str | Path | None = None,
    assignments: Sequence[str] = (),
    seed: int | None = None,
    base: Config | None = None,
) -> Config:
    """Load a YAML file (a path, or the name of a shipped one), or take `base`, and apply `a.b=c` assignments.

    Raises:
        ConfigError: the file, a key or a value is not right; the message names the nearest key.
    """
    return load_recipe(Config, source, assignments, seed, base)


def load_recipe(
    model: type[_AnySettings],
    source: str | Path | None = None,
    assignments: Sequence[str] = (),
    seed: int | None = None,
    base: _AnySettings | None = None,
) -> _AnySettings:
    """Load the settings of a training as `load_config` does; what a YAML file says comes after `base`.

    Raises:
        ConfigError: the file, a key or a value is not right; the message names the nearest key.
    """
    tree = {} if base is None else base.model_dump(mode="json")
    for name, value in ({} if source is None else _read_yaml(_find(source, shipped_configs(model.shipped_in)))).items():
        is_group = isinstance(value, dict) and isinstance(tree.get(name), dict)
        tree[name] = {**tree[name], **value} if is_group else value
    for assignment in assignments:
        _assign(tree, assignment)
    if seed is not None:
        tree["seed"] = seed
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, source, model)) from error


def changed_settings(before: Config, after: Config) -> list[str]:
    """Return the names of the settings that differ, such as retrieve.top_k; what the whole is called does not count.

    >>> changed_settings(Config(), load_config(None, ["seed=3", "decide.trials=5"]))
    ['seed', 'decide.trials']
    """
    old, new = (dict(_single(one.model_dump(mode="json", exclude={"name"}))) for one in (before, after))
    return [name for name in new if new[name] != old[name]]


def _single(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of every setting."""
    for group, settings in tree.items():
        if isinstance(settings, dict):
            yield from ((f"{group}.{name}", value) for name, value in settings.items())
        else:
            yield group, settings


def shipped_configs(group: str = "") -> dict[str, Path]:
    """Return name and file of every shipped configuration in the folder `group`."""
    installed = Path(str(resources.files("animalclef"))) / "configs"
    folder = installed if installed.is_dir() else installed.parents[1] / "configs"
    return {path.stem: path for path in sorted((folder / group).glob("*.yaml"), key=lambda path: path.stem)}


def refuse_removed(asked: str, name: str, error: type[AnimalClefError] = WeightsError) -> None:
    """Raise `error` for an embedder or a recipe of an earlier version; `asked` says where it was named."""
    if name in _REMOVED:
        raise error(f"{asked} {name}: {_REMOVED[name]}")


def fingerprint(*parts: object) -> str:
    """Return sixteen hex digits that change with any setting, version or digest given."""
    whole = methodcaller("model_dump", mode="json", context=DIGEST)
    text = json.dumps(parts, default=whole, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _find(source: str | Path, shipped: dict[str, Path]) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in shipped:
        return shipped[str(source)]
    refuse_removed("configuration", str(source), ConfigError)
    near = suggestion(str(source), shipped)
    raise ConfigError(f"{source}: no such configuration file.{near} Shipped ones: {', '.join(shipped)}.")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("larger than 10 MB")
        tree = _parsed(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable YAML file ({shortened(first_line(error), 120)}).") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, got {type(tree).__name__}.")
    given = {key: value for key, value in tree.items() if value is not None}  # a group with all its lines commented out
    return {"name": path.stem, **given}


class _OnceOnly(yaml.SafeLoader):
    """The safe loader; a key that stands twice is an error, instead of the last one silently winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, count in counts.items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"the key {shortened(twice, 60)} stands twice, line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def _parsed(text: str) -> Any:
    """Parse YAML; a ValueError where it holds more than 100,000 values, as aliases of aliases easily do."""
    tree = yaml.load(text, Loader=_OnceOnly)
    sizes: dict[int, int] = {}

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        if id(value) not in sizes:
            sizes[id(value)] = _MOST_VALUES  # a structure that holds itself is endless
            sizes[id(value)] = 1 + sum(size(one) for one in (value.values() if isinstance(value, dict) else value))
        return sizes[id(value)]

    if size(tree) >= _MOST_VALUES:
        raise ValueError("too many values; are there aliases of aliases?")
    return tree


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, value = assignment.partition("=")
    if not equals:
        raise ConfigError(f"{assignment}: expected KEY=VALUE, for example retrieve.top_k=50.")
    *folders, leaf = key.strip().split(".")
    for folder in folders:
        if tree.get(folder) is None:
            tree[folder] = {}
        tree = tree[folder]
        if not isinstance(tree, dict):
            raise ConfigError(f"{assignment}: {folder} is a value, not a group of settings.")
    try:
        tree[leaf] = _parsed(value)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = shortened(first_line(error), 120)
        raise ConfigError(f"{assignment}: the value is not valid YAML ({reason}).") from error
