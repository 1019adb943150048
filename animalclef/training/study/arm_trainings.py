"""Plan the trainings of a study's arms, and do them, wherever they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.config import load_recipe
from animalclef.config.embedder_training import TrainConfig
from animalclef.config.training import ArmConfig, StudyConfig, slug
from animalclef.errors import DataError
from animalclef.runtime.progress import Progress, Silent
from animalclef.structures import ImageTable
from animalclef.training.embedder.embedder_training import train_embedder
from animalclef.training.embedder.image_cache import cache_images
from animalclef.training.embedder.trained_network import build_trained
from animalclef.training.embedder.training_labels import named_rows

__all__ = ["ArmPlan", "ArmSeed", "ArmTrainings", "Job", "plan_arm"]


@dataclass(frozen=True)
class Job:
    """One training: on which data sets, and from where it starts."""

    name: str  # of its folder
    datasets: tuple[str, ...]
    assignments: tuple[str, ...]  # differences from the recipe
    start: str | None = None  # a name given with --start
    after: str | None = None  # the job whose network it starts from


@dataclass(frozen=True)
class ArmPlan:
    """An arm's trainings in order, and the network of each data set: a job's name, or `None` for the start as it is."""

    jobs: tuple[Job, ...]
    network_of: Mapping[str, str | None]
    router: str | None = None  # the job whose network tells species


@dataclass(frozen=True)
class ArmSeed:
    """One arm with one seed."""

    arm: ArmConfig
    plan: ArmPlan
    seed: int


def plan_arm(arm: ArmConfig, datasets: Sequence[str]) -> ArmPlan:
    """Plan the trainings of one arm.

    Raises:
        DataError: a data set is to be left out and there is no other, or the names of two give one folder.
    """
    stem = slug(arm.name)
    if (arm.each or arm.leave_out) and len({slug(name) for name in datasets}) < len(datasets):
        raise DataError(
            f"arm {arm.name}: data sets are trained in folders of their names; let these differ in letters."
        )
    if not arm.trained:
        return ArmPlan((), dict.fromkeys(datasets))
    if arm.leave_out:
        return _leaving_out(arm, stem, datasets)
    if arm.each:
        jobs = [Job(f"{stem}-{slug(name)}", (name,), arm.set, arm.start) for name in datasets]
        network_of: dict[str, str | None] = {job.datasets[0]: job.name for job in jobs}
        if arm.router is None:
            return ArmPlan(tuple(jobs), network_of)
        telling = Job(f"{stem}-router", tuple(datasets), (*arm.set, *arm.router), arm.start)
        return ArmPlan((telling, *jobs), network_of, telling.name)
    return ArmPlan((Job(stem, tuple(datasets), arm.set, arm.start),), dict.fromkeys(datasets, stem))


def _leaving_out(arm: ArmConfig, stem: str, datasets: Sequence[str]) -> ArmPlan:
    if len(datasets) < 2:
        raise DataError(f"arm {arm.name}: leave_out needs two data sets or more, there is {len(datasets)}.")
    jobs: list[Job] = []
    network_of: dict[str, str | None] = {}
    for name in datasets:
        others = tuple(one for one in datasets if one != name)
        jobs.append(Job(f"{stem}-without-{slug(name)}", others, arm.set, arm.start))
        if arm.then_tuned:
            jobs.append(Job(f"{stem}-then-{slug(name)}", (name,), arm.set, after=jobs[-1].name))
        network_of[name] = jobs[-1].name
    return ArmPlan(tuple(jobs), network_of)


@dataclass(eq=False)
class ArmTrainings:
    """Trains arms; a chunk holds those that share a training, so that equal trainings are done once.

    On a cluster a training uses as many threads as on this machine, because its bytes depend on their number.
    """

    config: StudyConfig
    images: ImageTable
    train: NDArray[np.int64]  # rows of the table
    out: Path
    starts: Mapping[str, Path]
    device: str
    workers: int
    progress: Progress
    overwrite: bool = False
    title = "training"
    chunks_a_task = 1
    patience_s = 7 * 86_400.0
    _trained: dict[tuple[str, tuple[str, ...], Path | None], Path] = field(default_factory=dict, init=False)

    def run(self, chunks: Iterable[Sequence[ArmSeed]]) -> Iterator[list[dict[str, Path]]]:
        """Yield for every arm of a chunk the network of each of its jobs, by the job's name."""
        for chunk in chunks:
            yield [self._train_arm(one) for one in chunk]

    def named(self, chunk: Sequence[ArmSeed]) -> str:
        """Return the first arm of a chunk."""
        return f"arm {chunk[0].arm.name}, seed {chunk[0].seed}"

    def with_threads(self, threads: int) -> ArmTrainings:
        """Return this work as it is: the bytes of a training depend on the number of workers."""
        return self

    def __getstate__(self) -> dict[str, object]:
        """Leave the progress bar to this process."""
        return {**self.__dict__, "progress": Silent()}

    def chunks(self, asked: Sequence[ArmSeed]) -> list[list[ArmSeed]]:
        """Return arms in chunks that share no training, in the order of the first of each."""
        groups: list[tuple[set[object], list[ArmSeed]]] = []
        for one in asked:
            keys = self._keys(one)
            apart = [group for group in groups if not group[0] & keys]
            joined = [group for group in groups if group[0] & keys]
            merged = (set(keys).union(*(group[0] for group in joined)),
                      [*(member for group in joined for member in group[1]), one])  # fmt: skip
            place = groups.index(joined[0]) if joined else len(apart)
            groups = [*apart[:place], merged, *apart[place:]]
        return [members for _, members in groups]

    def fill_image_cache(self, asked: Sequence[ArmSeed]) -> None:
        """Decode what all trainings read, so that those of a cluster do not do it at the same time."""
        jobs = [(self.recipe(one.arm, job, one.seed), job.datasets) for one in asked for job in one.plan.jobs]
        parts = {"network", "data", "labels"}
        trained = {(recipe.model_dump_json(include=parts), datasets): recipe for recipe, datasets in jobs}
        for (_, datasets), recipe in trained.items():
            named = named_rows(self._rows(datasets), recipe.labels)
            side = max(build_trained(recipe.network).preprocessing.size_wh)
            cache_images(named, self._pictures, side, recipe.data, self.workers, self.progress)

    @property
    def _pictures(self) -> Path:
        return self.out / "pictures"

    def _rows(self, datasets: Sequence[str]) -> ImageTable:
        return self.images.select(self.train[np.isin(self.images.dataset[self.train], datasets)])

    def recipe(self, arm: ArmConfig, job: Job, seed: int) -> TrainConfig:
        """Return the settings of one training."""
        return load_recipe(TrainConfig, arm.recipe or self.config.recipe, job.assignments, seed)

    def _keys(self, one: ArmSeed) -> set[object]:
        """Return what is equal for equal trainings."""
        found: dict[str, object] = {}
        for job in one.plan.jobs:
            begun = found[job.after] if job.after is not None else job.start
            found[job.name] = self.recipe(one.arm, job, one.seed).model_dump_json(), job.datasets, begun
        return set(found.values())

    def _train_arm(self, one: ArmSeed) -> dict[str, Path]:
        """Return the network of each job; equal jobs of two arms are trained once."""
        made: dict[str, Path] = {}
        for job in one.plan.jobs:
            recipe = self.recipe(one.arm, job, one.seed)
            start = made[job.after] if job.after is not None else self.starts.get(job.start or "")
            asked = recipe.model_dump_json(), job.datasets, start
            if asked not in self._trained:
                self._trained[asked] = train_embedder(
                    recipe, self._rows(job.datasets), self.out / f"{job.name}-seed{one.seed}", start=start,
                    device=self.device, workers=self.workers, image_cache=self._pictures, progress=self.progress,
                    overwrite=self.overwrite,
                ).path  # fmt: skip
            made[job.name] = self._trained[asked]
        return made
