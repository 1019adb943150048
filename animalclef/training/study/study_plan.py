"""Plan the trainings of a study's arm, their order, and the network that embeds each data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animalclef.config.training import ArmConfig, slug
from animalclef.errors import DataError

__all__ = ["ArmPlan", "Job", "plan_arm"]


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
