"""Show in the report which queries were grouped as one individual, and which groups are doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from animalclef.clustering.doubts import Doubt, suspected_merges, suspected_splits
from animalclef.data.dates import day_of
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import StrArray
from animalclef.structures.clusters import ClusterCount, Clusters

__all__ = ["DatasetIndividuals", "DoubtfulPair", "IndividualSheet", "individual_sheets"]

_SHEETS, _ON_SHEET, _DOUBTS = 40, 24, 8  # of a data set; photographs; of each kind
_SIDES = frozenset({"left", "right"})


@dataclass(frozen=True)
class IndividualSheet:
    """The photographs of one individual; `photographs` are numbers of the page's photographs, the first ones alone."""

    name: str
    total: int
    photographs: Sequence[int]


@dataclass(frozen=True)
class DoubtfulPair:
    """Two groups of photographs that may be one individual or two, and the numbers of their most similar pair."""

    doubt: Doubt
    names: tuple[str, str]
    photographs: tuple[int, int]
    sides: str  # "left and right side" where each group is seen from one side, and these differ
    same_day: bool


@dataclass(frozen=True)
class DatasetIndividuals:
    """The individuals on the queries of one data set."""

    name: str
    individuals: int
    known: int  # of these, individuals of the database
    singletons: int
    count: ClusterCount | None
    one_sided: Mapping[str, int]  # new individuals that are seen from the left alone, from the right alone
    sheets: Sequence[IndividualSheet]
    hidden: int  # individuals on several photographs without a sheet
    merges: Sequence[DoubtfulPair]
    splits: Sequence[DoubtfulPair]


def individual_sheets(run: FinishedRun, shown: Sequence[str]) -> list[DatasetIndividuals]:
    """Return one for each data set, none where the run did not group its queries.

    `shown` are the image_ids of the page's photographs in their order, all queries among them.

    Raises:
        RunError: the run's clusters are damaged.
    """
    clusters = read_clusters(run)
    if clusters is None:
        return []
    numbers = {image_id: number for number, image_id in enumerate(shown)}
    merges, splits = suspected_merges(clusters), suspected_splits(clusters)
    return [_of_dataset(name, clusters, merges, splits, run, numbers) for name in dict.fromkeys(clusters.dataset)]


def _of_dataset(
    dataset: str,
    clusters: Clusters,
    merges: Sequence[Doubt],
    splits: Sequence[Doubt],
    run: FinishedRun,
    numbers: Mapping[str, int],
) -> DatasetIndividuals:
    members: dict[str, list[int]] = {}
    rows = np.flatnonzero(clusters.dataset == dataset)
    for row in rows.tolist():
        if clusters.name[row] is not None:  # else it was skipped
            members.setdefault(clusters.label[row], []).append(row)
    several = sorted((mine for mine in members.values() if len(mine) > 1), key=lambda mine: -len(mine))
    new = {label: mine for label, mine in members.items() if clusters.individual[mine[0]] is None}
    sides = [_seen(clusters.image_id[mine], run) for mine in new.values()]
    sheets = [IndividualSheet(clusters.name[mine[0]], len(mine),
                              [numbers[one] for one in clusters.image_id[mine][:_ON_SHEET]])
              for mine in several[:_SHEETS]]  # fmt: skip
    return DatasetIndividuals(
        name=dataset, individuals=len(members), known=len(members) - len(new), singletons=len(members) - len(several),
        count=clusters.counts.get(dataset),
        one_sided={side: sides.count({side}) for side in sorted(_SIDES) if {side} in sides},
        sheets=sheets, hidden=len(several) - len(sheets),
        merges=[_shown(one, clusters, members, run, numbers) for one in merges if one.clusters[0] in members][:_DOUBTS],
        splits=[_shown(one, clusters, members, run, numbers) for one in splits if one.clusters[0] in members][:_DOUBTS],
    )  # fmt: skip


def _shown(
    doubt: Doubt, clusters: Clusters, members: Mapping[str, list[int]], run: FinishedRun, numbers: Mapping[str, int]
) -> DoubtfulPair:
    groups = [clusters.image_id[members[label]] for label in doubt.clusters]
    one, other = (_seen(group, run) for group in groups)
    pair = (doubt.first, doubt.second)
    days = [day_of(str(run.images.date[run.row_of[image_id]])) for image_id in pair]
    apart = len(one) == len(other) == 1 and one | other == _SIDES
    return DoubtfulPair(
        doubt=doubt, names=(clusters.name[members[doubt.clusters[0]][0]], clusters.name[members[doubt.clusters[1]][0]]),
        photographs=(numbers[doubt.first], numbers[doubt.second]),
        sides="left and right side" if apart else "", same_day=days[0] is not None and days[0] == days[1],
    )  # fmt: skip


def _seen(image_ids: StrArray, run: FinishedRun) -> set[str]:
    """Return the sides from which photographs show their animal; those without a viewpoint are left out."""
    return {str(run.images.viewpoint[run.row_of[one]]).lower() for one in image_ids} - {""}
