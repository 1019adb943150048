"""`load_dataset`, `load_config`: the table of a data set, and the settings of a run or a training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args, overload

import numpy as np
import pandas as pd

from animalclef.config import Config, DataConfig, TrainConfig, TrainMatcherConfig, load_recipe
from animalclef.config.base import Settings
from animalclef.config.data import DateOrder
from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table
from animalclef.errors import ConfigError, suggestion
from animalclef.runtime.wording import counted

__all__ = [
    "Dataset", "PathLike", "check_kind", "load_config", "load_dataset", "path_given", "path_or_none", "settings_of",
    "table_of",
]  # fmt: skip

PathLike = str | os.PathLike[str]
AnySettings = TypeVar("AnySettings", bound=Settings)

_MODELS: dict[str, type[Settings]] = {"predict": Config, "train": TrainConfig, "train-matcher": TrainMatcherConfig}


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table of photographs: queries to be named, and the database (gallery) of named individuals.

    Example:
        >>> dataset = load_dataset(data_folder)
        >>> dataset
        Dataset(18 photographs: 12 in the database of 4 individuals, 6 queries)
        >>> sorted(dataset.photographs.columns)[:4]
        ['dataset', 'date', 'identity', 'image_id']
    """

    table: LoadedTable

    def __len__(self) -> int:
        return len(self.table.images)

    @property
    def root(self) -> Path:
        """The folder that paths start from."""
        return self.table.images.root

    @property
    def photographs(self) -> pd.DataFrame:
        """One row per photograph: image_id, identity (None for a query), path, dataset, split, date, viewpoint ..."""
        images = self.table.images
        names = ("image_id", "identity", "path", "dataset", "date", "viewpoint", "species")
        frame = pd.DataFrame({name: pd.Series(getattr(images, name), dtype=object) for name in names})
        frame.insert(4, "split", np.where(images.is_query, "query", "database"))
        return frame

    @property
    def problems(self) -> list[str]:
        """What is odd about the table, one sentence each."""
        return [str(problem) for problem in self.table.problems]

    def __repr__(self) -> str:
        gallery, queries = self.table.images.gallery, self.table.images.queries
        individuals = len(set(zip(gallery.dataset, gallery.identity, strict=True)))
        counts = f"{len(gallery):,} in the database of {counted(individuals, 'individual')}"
        return f"Dataset({counted(len(self), 'photograph')}: {counts}, {counted(len(queries), 'query')})"

    def _repr_html_(self) -> str:
        frame = self.photographs.groupby(["dataset", "split"]).agg(
            photographs=("image_id", "size"), individuals=("identity", "nunique")
        )
        return f"<p>{self!r}</p>" + frame.to_html()


def load_dataset(
    path: PathLike | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    date_order: DateOrder | None = None,
    merge_case: bool = True,
    cache_gb: float = 20.0,
) -> Dataset:
    """Read the table of a data set.

    `path` is a folder with metadata.csv and the photographs, a table file, or a folder with one folder per individual
    (queries under `query/`). Without it the competition's folder on Kaggle is looked for. `columns` maps our column
    names to those of the table, as in `{"identity": "individual_name"}`; `date_order` is that of dates like 5/1/2023.
    With `merge_case` names that differ by case or spaces alone are one individual. A query's identity is never read.
    `path` may be in a bucket (s3://bucket/folder); at most `cache_gb` gigabytes of its photographs are kept here.

    Raises:
        DataError: nothing usable is there; one message names all problems.
        ConfigError: there is no such order of dates.

    Example:
        >>> len(load_dataset(data_folder))
        18
    """
    check_kind("columns", columns, (Mapping, type(None)), "a mapping such as {'identity': 'individual_name'}")
    if date_order not in (None, *get_args(DateOrder)):
        near = suggestion(str(date_order), get_args(DateOrder))
        raise ConfigError(f"date_order {date_order}: expected one of {', '.join(get_args(DateOrder))}.{near}")
    where = path_or_none(path, "path", "a folder or a table file (of a DataFrame: write it with to_csv)")
    source = find_source(where, columns=columns, date_order=date_order, merge_case=merge_case, cache_gb=cache_gb)
    return Dataset(load_table(source))


@overload
def load_config(
    name: Config | PathLike | None = None, *overrides: str, seed: int | None = None, command: Literal["predict"] = ...
) -> Config: ...


@overload
def load_config(
    name: TrainConfig | PathLike | None = None, *overrides: str, seed: int | None = None, command: Literal["train"]
) -> TrainConfig: ...


@overload
def load_config(
    name: TrainMatcherConfig | PathLike | None = None,
    *overrides: str,
    seed: int | None = None,
    command: Literal["train-matcher"],
) -> TrainMatcherConfig: ...


def load_config(
    name: Settings | PathLike | None = None,
    *overrides: str,
    seed: int | None = None,
    command: Literal["predict", "train", "train-matcher"] = "predict",
) -> Settings:
    """Return the settings of a run, or with `command` those of a training, with single changes.

    They begin with the defaults, with a YAML file or a shipped config by name, or with settings such as `run.config`.
    Changes are texts such as "retrieve.top_k=25".

    Raises:
        ConfigError: there is no such command, file or setting, or a value does not fit.

    Example:
        >>> config = load_config(None, "retrieve.top_k=25", "rerank.matcher=none", seed=1)
        >>> config  # what differs from the defaults
        Config(seed=1, retrieve=RetrieveConfig(top_k=25), rerank=RerankConfig(matcher='none'))
        >>> load_config(config, "retrieve.top_k=30").rerank.matcher
        'none'
        >>> load_config("miewid", "epochs=40", command="train").epochs
        40
    """
    if command not in _MODELS:
        raise ConfigError(
            f"command {command}: expected one of {', '.join(_MODELS)}.{suggestion(str(command), _MODELS)}"
        )
    return settings_of(name, *overrides, model=_MODELS[command], seed=seed)


def settings_of(
    given: AnySettings | PathLike | None,
    *overrides: str,
    model: type[AnySettings],
    seed: int | None = None,
    base: AnySettings | None = None,
) -> AnySettings:
    """Return the settings that an argument `config` means: settings, or a file or name whose content changes `base`.

    Raises:
        TypeError: it is something else.
        ConfigError: there is no such file or setting, or a value does not fit.
    """
    expected = f"settings as load_config returns them ({model.__name__}), a YAML file or the name of a shipped config"
    check_kind("config", given, (model, str, os.PathLike, type(None)), expected)
    for one in overrides:
        check_kind("load_config", one, str, "changes such as 'retrieve.top_k=25', one by one")
    path_or_none(given if isinstance(given, str) else None, "config")
    if isinstance(given, str) and "=" in given and not Path(given).is_file():
        raise ConfigError(f'expected a file or a name, got {given!r}. For changes write load_config(None, "a.b=c").')
    if isinstance(given, Settings):
        return load_recipe(model, None, overrides, seed, given)
    return load_recipe(model, None if given is None else os.fspath(given), overrides, seed, base)


def path_or_none(path: PathLike | None, name: str, expected: str = "a path") -> Path | None:
    """Return a path where one is given; `name` is the argument's.

    Raises:
        TypeError: it is something else.
        ValueError: it is an empty text, which would be the current folder.
    """
    return None if path is None else path_given(path, name, expected)


def path_given(path: PathLike, name: str, expected: str = "a path") -> Path:
    """Return the path that an argument is.

    Raises:
        TypeError: it is something else.
        ValueError: it is an empty text, which would be the current folder.

    >>> path_given(7, "run")
    Traceback (most recent call last):
    TypeError: run: expected a path, got int.
    """
    check_kind(name, path, (str, os.PathLike), expected)
    if not os.fspath(path):
        raise ValueError(f"{name}: expected a path, got an empty text. Write '.' for the current folder.")
    return Path(path)


def table_of(data: Dataset | PathLike | None, settings: DataConfig) -> LoadedTable:
    """Return the table of a data set, read as the settings say where a path is given.

    Raises:
        TypeError: the data is of another kind.
    """
    expected = "a folder, a table or a Dataset as load_dataset returns it"
    check_kind("data", data, (Dataset, str, os.PathLike, type(None)), expected)
    if isinstance(data, Dataset):
        return data.table
    return load_dataset(data, **settings.reading).table


def check_kind(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Check what an argument is.

    Raises:
        TypeError: it is of none of the kinds.

    >>> check_kind("k", "3", int, "a whole number")
    Traceback (most recent call last):
    TypeError: k: expected a whole number, got str.
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (int, (int, np.integer))):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}.")
