"""`cluster`: individuals out of photographs without names."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from animalclef.api.datasets import Dataset, PathLike, check_kind, load_config, path_or_none, settings_of, table_of
from animalclef.api.finished import Run
from animalclef.api.shown_progress import ProgressLike, shown_progress
from animalclef.clustering.constraints import NOTHING_SAID, Constraints
from animalclef.config import Config, changed_settings
from animalclef.data.review_log import read_review
from animalclef.errors import ConfigError, DataError
from animalclef.hub.needed_weights import require_weights
from animalclef.pipeline.cluster import cluster_run
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.predict import group_unnamed, predict
from animalclef.pipeline.run_context import open_context
from animalclef.runtime.threads import cores
from animalclef.store.finished_run import FinishedRun
from animalclef.store.finished_run import load_run as read_run
from animalclef.store.remote_run import is_remote_run
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable
from animalclef.structures.clusters import Clusters

__all__ = ["Clusters", "cluster"]

logger = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, str]]


def cluster(
    run_or_data: Run | Dataset | PathLike | None = None,
    *,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
    reviewed: PathLike | None = None,
    config: Config | PathLike | None = None,
    run_dir: PathLike | None = None,
    weights: PathLike | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: ProgressLike = None,
) -> Clusters:
    """Group the photographs without a name by individual: known ones of the database, and new ones.

    A finished run (or its folder) is used as it is: its features and matched pairs are not computed again. Of data,
    everything is kept in `run_dir` as `predict` does; nobody needs to have a name, and `load_run` reads that run.
    `config` is the settings, a YAML file, or the name of a shipped config. For a finished run only the settings under
    `cluster` can be changed: pass as `config` either `load_config(run.config, "cluster.cut=0.4")` or a YAML file of
    `cluster` settings. `must_link` and `cannot_link` are pairs of image_ids that show one individual, or two; either
    may be a photograph of the database; `reviewed`, a log of `animalclef review`, holds further ones. `clusters.table`
    is a DataFrame.

    Raises:
        DataError: the table cannot be used, a pair names a photograph that is not there, or pairs contradict each
            other.
        RunError: the run was fused from others or changed since, or its photographs have moved.
        ConfigError: a setting does not exist, or would change a finished run's features.
        StaleArtefactError: the log is of other photographs.
        ValueError: `must_link` or `cannot_link` does not hold pairs.
        OutputError: with data, `run_dir` holds a finished run of `predict`.

    Example:
        >>> clusters = cluster(run_folder, cannot_link=[("3", "7")])
        >>> list(clusters.table.columns), len(clusters)
        (['image_id', 'dataset', 'cluster', 'individual'], 6)
        >>> run = load_run(run_folder)
        >>> len(cluster(run, config=load_config(run.config, "cluster.cut=0.9")))
        6
    """
    given = Constraints(_pairs("must_link", must_link), _pairs("cannot_link", cannot_link))
    count, shown = cores(workers), shown_progress(progress)
    found, folder_of_weights = _run_of(run_or_data), path_or_none(weights, "weights")
    if found is not None:
        constraints = _with_review(given, reviewed, found.images)
        if "reviewed" in found.settings and constraints == NOTHING_SAID:
            logger.warning("%s was made with a review; give its log (reviewed) to keep its answers.", found.path)
        return cluster_run(
            found, _changed(found.config, config), constraints, device=device, weights=folder_of_weights,
            workers=count, progress=shown,
        )  # fmt: skip
    chosen = load_config(config)
    if run_dir is not None:
        RunFolder(Path(run_dir)).refuse_run_of_others("cluster")  # before the long part
    require_weights(chosen, folder_of_weights)
    data = run_or_data.path if isinstance(run_or_data, Run) else run_or_data
    loaded = table_of(data, chosen.data)
    constraints = _with_review(given, reviewed, loaded.images)
    contents = read_contents(loaded, chosen, count, shown)
    folder = RunFolder(Path(run_dir or Path("runs") / f"{chosen.name}-{contents.digest[:8]}-clusters"))
    with folder.claimed():
        folder.open(overwrite=False)
        context = open_context(chosen, folder, device, folder_of_weights, count, shown)
        if len(loaded.images.gallery):
            clusters = predict(loaded, contents, context, constraints, everybody=True).clusters
        else:
            clusters = group_unnamed(loaded, contents, context, constraints)
    if clusters is None:
        raise DataError(f"{folder.path}: nothing was clustered.")
    return clusters


def _pairs(name: str, given: Pairs) -> tuple[tuple[str, str], ...]:
    pairs = tuple(given)
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"{name}: expected pairs of image_ids such as [('3', '7')], got {pair!r}.")
    return tuple((str(one), str(other)) for one, other in pairs)


def _with_review(given: Constraints, reviewed: PathLike | None, images: ImageTable) -> Constraints:
    if reviewed is None:
        return given
    said = read_review(Path(reviewed), images)
    return Constraints((*given.must_link, *said.same), (*given.cannot_link, *said.different))


def _changed(own: Config, config: Config | PathLike | None) -> Config:
    """Return the settings that a finished run is grouped with: its own, but for the group `cluster`."""
    chosen = settings_of(config, model=Config, base=own)
    if others := [name for name in changed_settings(own, chosen) if not name.startswith("cluster.")]:
        raise ConfigError(
            f"{others[0]}: a finished run keeps its features and pairs, so only settings of the group cluster can "
            "change (in Python: load_config(run.config, 'cluster.cut=0.4')). For other settings run predict again."
        )
    return chosen


def _run_of(given: Run | Dataset | PathLike | None) -> FinishedRun | None:
    """Return the finished run that is meant, `None` for data."""
    expected = "a finished run, a Dataset, or the folder of either"
    check_kind("run_or_data", given, (Run, Dataset, str, os.PathLike, type(None)), expected)
    if isinstance(given, Run):
        given.finished.check_unchanged()
        return given.finished
    if given is None or isinstance(given, Dataset):
        return None
    is_run = RunFolder(Path(given)).finished.is_file() or is_remote_run(Path(given))
    return read_run(Path(given)) if is_run else None
