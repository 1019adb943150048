"""The settings of a run: one frozen tree, defaults in code, YAML and `--set` hold the differences."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from animalclef.errors import ConfigError

__all__ = [
    "Config",
    "DataConfig",
    "DecideConfig",
    "EmbedConfig",
    "EncounterConfig",
    "KeypointConfig",
    "RerankConfig",
    "RetrieveConfig",
    "fingerprint",
    "load_config",
    "shipped_configs",
]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Settings):
    """How photographs are read."""

    max_missing: float = Field(0.01, ge=0, le=1, description="share of missing files above which the run stops")
    max_pixels: int = Field(150_000_000, gt=0, le=178_000_000, description="larger photographs are set aside")
    decode_long_side: int = Field(
        1024, ge=64, description="large photographs are decoded at a reduced scale, no smaller than this long side"
    )


class EncounterConfig(_Settings):
    """How gallery photographs of one event are recognised where the table does not say."""

    near_duplicate_correlation: float = Field(
        0.7, gt=0, le=1, description="thumbnail correlation from which two photographs of one animal are one event"
    )


class EmbedConfig(_Settings):
    """Stage one: one vector per photograph."""

    model: str = Field("rootsift-vlad", description="rootsift-vlad (no weights), or timm:NAME")
    weights: str | None = Field(None, description="for timm models: a .safetensors file, or `hub` to download")
    image_size: int | None = Field(None, ge=16, description="pixels; default: what the model was trained with")
    model_options: dict[str, str | int | float | bool] = Field({}, description="timm: further arguments of the model")
    mean: tuple[float, float, float] | None = Field(None, description="timm: default what the model was trained with")
    std: tuple[float, float, float] | None = None
    batch_size: int = Field(32, ge=1)
    words: int = Field(128, ge=2, description="VLAD: visual words")
    dimensions: int = Field(256, ge=2, description="VLAD: length after PCA")
    long_side: int = Field(256, ge=32, description="VLAD: photographs are scaled to this long side")
    step: int = Field(8, ge=1, description="VLAD: pixels between descriptors")
    bin_sizes: tuple[int, ...] = Field((6, 9, 14), min_length=1, description="VLAD: SIFT bin widths in pixels")
    local_dimensions: int = Field(64, ge=2, le=128, description="VLAD: length of a local descriptor after PCA")
    place_weight: float = Field(1.0, ge=0, description="VLAD: how much a descriptor's place in the image counts")
    codebook_images: int = Field(200, ge=1, description="VLAD: gallery photographs the codebook is fitted on")
    codebook_descriptors: int = Field(60_000, ge=1)


class RetrieveConfig(_Settings):
    """Stage one: the shortlist."""

    top_k: int = Field(100, ge=1)
    same_viewpoint: bool | tuple[str, ...] = Field(
        False, description="only candidates with the query's viewpoint: everywhere, or in the data sets named"
    )


class KeypointConfig(_Settings):
    """Stage two: local features."""

    extractor: Literal["sift"] = "sift"
    long_side: int = Field(512, ge=64, description="larger photographs are scaled down to this long side")
    least_long_side: int = Field(256, ge=32, description="smaller photographs are scaled up to this long side")
    max_keypoints: int = Field(512, ge=8)
    contrast_threshold: float = Field(0.02, gt=0)
    equalise: bool = Field(True, description="even out contrast locally before detection (CLAHE)")


class RerankConfig(_Settings):
    """Stage two: matching the shortlist."""

    matcher: Literal["mutual-nearest", "none"] = Field(
        "mutual-nearest", description="mutual nearest neighbours, ratio test, geometric verification"
    )
    ratio: float = Field(0.9, gt=0, le=1, description="largest allowed nearest-to-second-nearest distance ratio")
    geometry: Literal["similarity", "affine", "homography"] = "similarity"
    tolerance: float = Field(0.02, gt=0, description="largest reprojection error, as a share of the long side")


class DecideConfig(_Settings):
    """The open-set decision, tuned on the gallery alone."""

    pseudo_queries: int = Field(300, ge=1, description="per data set: gallery photographs that play the query")
    unknown_share: float = Field(0.4, gt=0, lt=1, description="share of individuals hidden in a split")
    splits: int = Field(8, ge=1, description="how many random open-set splits the score is averaged over")
    folds: int = Field(4, ge=2, description="calibrators are scored on folds of individuals they never saw")
    scores: tuple[str, ...] = Field(
        ("similarity", "inliers"), min_length=1, description="score columns that are fused, where a run has them"
    )
    trials: int = Field(120, ge=1, description="Optuna trials per data set")
    min_pseudo_queries: int = Field(12, ge=1, description="data sets with fewer take the pooled decision")


class Config(_Settings):
    """Everything that shapes a submission."""

    name: str = Field("offline", pattern=r"^[A-Za-z0-9._-]+$")
    seed: int = Field(0, ge=0)
    data: DataConfig = DataConfig()
    encounters: EncounterConfig = EncounterConfig()
    embed: EmbedConfig = EmbedConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    keypoints: KeypointConfig = KeypointConfig()
    rerank: RerankConfig = RerankConfig()
    decide: DecideConfig = DecideConfig()


def load_config(source: str | Path | None = None, assignments: Sequence[str] = (), seed: int | None = None) -> Config:
    """The settings in a YAML file (a path, or the name of a shipped one) with `a.b=c` assignments on top.

    Raises:
        ConfigError: the file, a key or a value is not right; the message names the nearest key.
    """
    tree = {} if source is None else _read_yaml(_find(source))
    for assignment in assignments:
        _assign(tree, assignment)
    if seed is not None:
        tree["seed"] = seed
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error


def shipped_configs() -> dict[str, Path]:
    """Name and file of every configuration that comes with the package."""
    installed = Path(str(resources.files("animalclef"))) / "configs"
    folder = installed if installed.is_dir() else installed.parents[1] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def fingerprint(*parts: object) -> str:
    """Sixteen hex digits that change with any setting, version or input digest given."""
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(part: object) -> object:
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_configs()
    if str(source) in shipped:
        return shipped[str(source)]
    raise ConfigError(f"{source}: no such configuration file. Shipped ones: {', '.join(shipped)}.")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a readable YAML file ({_first_line(error)}).") from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, got {type(tree).__name__}.")
    given = {key: value for key, value in tree.items() if value is not None}  # a group with all its lines commented out
    return {"name": path.stem, **given}


def _assign(tree: dict[str, Any], assignment: str) -> None:
    key, equals, value = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set {assignment}: expected KEY=VALUE, for example --set retrieve.top_k=50.")
    *folders, leaf = key.strip().split(".")
    for folder in folders:
        if tree.get(folder) is None:
            tree[folder] = {}
        tree = tree[folder]
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {assignment}: {folder} is a value, not a group of settings.")
    try:
        tree[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {assignment}: the value is not valid YAML ({_first_line(error)}).") from error


def _explain(error: ValidationError, source: str | Path | None) -> str:
    sentences = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            sentences.append(f"{key}: no such setting{_nearest(key)}")
        else:
            sentences.append(f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}.")
    return f"{source or 'settings'}: " + " ".join(sentences)


def _nearest(key: str) -> str:
    keys = list(_keys(Config))
    by_leaf = {known.rsplit(".", 1)[-1]: known for known in keys}
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    close_leaf = difflib.get_close_matches(key.rsplit(".", 1)[-1], by_leaf, n=1, cutoff=0.6)
    best = close[0] if close else by_leaf[close_leaf[0]] if close_leaf else None
    return f"; did you mean {best}?" if best else f"; known: {', '.join(keys)}."


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from _keys(nested, f"{prefix}{name}.")
        yield f"{prefix}{name}"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
