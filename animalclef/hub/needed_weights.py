"""List the published weights that a configuration needs, and check that they are on this machine."""

from __future__ import annotations

from pathlib import Path

from animalclef.config import Config
from animalclef.config.matching import family
from animalclef.errors import WeightsError
from animalclef.hub.cache import find_weights
from animalclef.hub.catalogue import SUPERGLUE, WEIGHTS, shipped_matcher

__all__ = ["check_folder", "matcher_file", "needed_weights", "published_lightglue", "require_weights"]


def published_lightglue(features: str) -> str:
    """Return the name of the published LightGlue for a kind of features, such as `aliked`."""
    return "lighterglue" if features == "xfeat" else f"lightglue-{features}"


def needed_weights(config: Config, *, optional: bool = True) -> list[str]:
    """Return names of the published weights that a run with these settings loads, without files and what ships.

    Those of further members are among them, and with `optional` also of members that may be left out.
    """
    asked = [config]
    for settings, members in (
        (config.of_embedders(), config.embed.members), (config.of_matchers(), config.rerank.members),
    ):  # fmt: skip
        asked += [settings[label] for label in sorted(one.label for one in members if optional or not one.optional)]
    wanted = [name for one in asked for name in _of_first(one)]
    return list(dict.fromkeys(name for name in wanted if name in WEIGHTS))


def _of_first(config: Config) -> list[str]:
    """Return names of the embedder, extractor and matcher that are not members."""
    embedder, extractor, matcher = config.embed.model, str(config.keypoints.extractor), str(config.rerank.matcher)
    wanted = [embedder] if config.embed.weights in (None, "hub") else []
    if config.prepare.mode != "whole":
        wanted.append(config.prepare.segmenter)
    if config.keypoints.weights is None and (matcher != "none" or "vote" in config.retrieve.sources):
        wanted.append(extractor)
    if matcher in ("lightglue", "superglue") and config.rerank.weights is not None:
        wanted.append(config.rerank.weights)
    elif matcher == "superglue":
        wanted.append(SUPERGLUE)
    elif matcher == "lightglue" and shipped_matcher(family(extractor)) is None:
        wanted.append(published_lightglue(family(extractor)))
    return wanted


def check_folder(folder: Path | None) -> None:
    """Check that a folder of weights is there, where one is given.

    Raises:
        WeightsError: it is not, or it is no folder.
    """
    if folder is not None and not folder.is_dir():
        what = "this is a file; give the folder that holds it" if folder.exists() else "no such folder"
        raise WeightsError(f"weights {folder}: {what}. `animalclef weights bundle --to DIR` makes one.")


def require_weights(config: Config, folder: Path | None) -> None:
    """Check before a run that the weights that it needs are on this machine, and that their folder is there.

    Raises:
        WeightsError: they are not, or are damaged.
    """
    check_folder(folder)
    from_hub = {one.model for one in (config.embed, *config.embed.members) if one.weights == "hub"}
    for name in needed_weights(config, optional=False):
        if name not in from_hub:
            find_weights(name, folder)


def matcher_file(weights: str | None, default: str, folder: Path | None) -> tuple[Path, bool]:
    """Return the file that `rerank.weights` names, and whether it is a published one.

    It is named by its path or by the name of published weights; without `weights` it is the one called `default`.

    Raises:
        WeightsError: it is not on this machine.
    """
    if weights is not None and (Path(weights).suffix or Path(weights).exists()):
        if not Path(weights).is_file():
            raise WeightsError(f"rerank.weights {weights}: no such file.")
        return Path(weights), False
    return find_weights(weights or default, folder), True
