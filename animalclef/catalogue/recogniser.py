"""Recognise the individuals of a catalogue: on the photographs of a season, or on a single one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.nearest_photographs import NearestPhotographs, embed_alone
from animalclef.catalogue.season_runs import keep_season_run
from animalclef.data.folders import photographs_below
from animalclef.data.hashing import content_key
from animalclef.data.sources import Source
from animalclef.data.table import LoadedTable
from animalclef.decision.decision_model import Decision, parse_decision
from animalclef.engine.open_engine import open_engine, shared_paths
from animalclef.engine.work import Engine
from animalclef.errors import DataError, PhotographError
from animalclef.pipeline.cluster import cluster_unnamed
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.predict import Outcome, identify, predict
from animalclef.pipeline.run_context import Plan, RunContext, open_context
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.devices import choose_device
from animalclef.runtime.progress import Progress, Silent
from animalclef.runtime.regular_files import read_regular
from animalclef.store.run_folder import RunFolder
from animalclef.structures import WHOLE_XYWHR, ImageTable, Skipped
from animalclef.structures.clusters import Clusters

__all__ = ["Machine", "Recogniser", "Sighting", "joined"]

logger = logging.getLogger(__name__)

_NARROW_ABOVE = 5_000  # photographs: from here on only the candidates of a query are looked at


@dataclass(frozen=True)
class Machine:
    """Where and how work is done: the device, the folder of weights, the worker threads, and what is told meanwhile.

    With the `engine` "ray" a season's long stages run on the cluster at `address`; a single photograph is always looked
    at here.
    """

    device: str = "auto"
    weights: Path | None = None
    workers: int = 1
    progress: Progress = field(default_factory=Silent)
    announce: Callable[[Plan], None] | None = None
    say: Callable[[str], None] | None = None
    engine: str = "local"
    address: str = "auto"


@dataclass(frozen=True)
class Sighting:
    """Which individual is on one photograph (`None`: a new one), and the likeliest ones; or why it cannot be read."""

    photograph: str  # its path
    individual: str | None
    threshold: float | None  # probability from which an individual is named
    candidates: list[tuple[str, float]]  # name and probability, best first
    error: str | None = None


class Recogniser:
    """The models and the decision of a catalogue, opened once; stores lie in the catalogue's run folder."""

    def __init__(self, catalogue: Catalogue, machine: Machine) -> None:
        self.catalogue, self.machine = catalogue, machine
        self.folder = RunFolder(catalogue.folder / "run")
        self.config = catalogue.config

    @cached_property
    def decision(self) -> Decision | None:
        """The decision that is kept; `None` while nobody is known. `add --retune` tunes a new one without it.

        Raises:
            StaleArtefactError: an earlier version wrote it with an option that has gone.
        """
        kept = self.catalogue.value("decision")
        return None if kept is None else parse_decision(kept, f"{self.catalogue.folder}, its decision (add --retune)")

    @cached_property
    def gallery(self) -> ImageTable:
        """The confirmed photographs."""
        return self.catalogue.table()

    def season(self, images: ImageTable, *, retune: bool) -> Outcome:
        """Answer the queries of a season against the confirmed photographs, and keep the run beside those before it.

        Without a decision, or with `retune`, one is tuned on all confirmed photographs and on the season's named ones.
        """
        given = None if retune else self.decision
        with self.folder.claimed(by_catalogue=True), self._engine(images) as engine:
            self.folder.open(overwrite=False)
            keep_season_run(self.folder, self.catalogue.roots())
            context = self._context(given, engine)
            embed_alone(images, context)
            table = joined(self._near(images.queries, context), images)
            return predict(self._loaded(table), Contents(table, []), context)

    def unnamed(self, images: ImageTable) -> tuple[Clusters, list[Skipped]]:
        """Group photographs while the catalogue knows nobody to compare them with; return those skipped, too."""
        with self.folder.claimed(by_catalogue=True), self._engine(images) as engine:
            self.folder.open(overwrite=False)
            clusters, job = cluster_unnamed(self._loaded(images), Contents(images, []), self._context(None, engine))
            return clusters, job.features.set_aside

    def who(self, photograph: Path, dataset: str | None = None, most: int = 5) -> Sighting:
        """Name the individual on one photograph, which is not added.

        Further photographs are named with the models that were opened for the first.

        Raises:
            PhotographError: the file is no photograph.
            DataError: the catalogue knows nobody yet, or holds several data sets.
        """
        if self.decision is None or not len(self.gallery.gallery):
            raise DataError(f"{self.catalogue.folder}: the catalogue has no confirmed individual yet.")
        query = _one_row(photograph, self._dataset(dataset))
        with self.folder.claimed(by_catalogue=True):
            self.folder.open(overwrite=False)
            context = self._opened
            embed_alone(query, context)
            table = joined(self._near(query, context), query)
            outcome, _, _ = identify(self._loaded(table), Contents(table, []), context)
        mine = [one.reason for one in outcome.set_aside if one.image_id == query.image_id[0]]
        if mine:
            raise PhotographError(f"{photograph}: {mine[-1]}.")
        found = list(outcome.ranked.individuals.get(query.image_id[0], {}).items())
        rule = self.decision.of(query.dataset[0])
        return Sighting(str(photograph), outcome.predictions.identity[0], rule.threshold, found[:most])

    def who_all(
        self, given: Sequence[Path], dataset: str | None = None, most: int = 5,
        warn: Callable[[str], None] = logger.warning,
    ) -> Iterator[Sighting]:  # fmt: skip
        """Yield the answer to each photograph in the order given, those of a folder by path.

        One among several that cannot be read is answered with its error. `warn` gets a sentence about a folder without
        photographs.

        Raises:
            PhotographError: the only one cannot be read.
            DataError: none of several can be read, or as `who`.
        """
        readable = False
        for path in _photographs(given, warn):
            try:
                yield self.who(path, dataset, most)
                readable = True
            except PhotographError as error:
                if [path] == list(given):
                    raise
                yield Sighting(str(path), None, None, [], str(error))
        if not readable:
            raise DataError(f"{', '.join(map(str, given))}: no photograph can be read.")

    @cached_property
    def _opened(self) -> RunContext:
        return replace(self._context(self.decision), groups_nobody=True)

    @cached_property
    def _nearest(self) -> NearestPhotographs:
        return NearestPhotographs(self.gallery, self._opened)

    def _engine(self, images: ImageTable) -> AbstractContextManager[Engine]:
        """Open the engine of a season, whose nodes must see its photographs and the run folder."""
        machine, folders = self.machine, shared_paths(images, self.folder.path)
        return open_engine(machine.engine, machine.address, device=choose_device(machine.device), folders=folders)

    def _context(self, given: Decision | None, engine: Engine | None = None) -> RunContext:
        machine = self.machine
        context = open_context(
            self.config, self.folder, machine.device, machine.weights, machine.workers, machine.progress,
            machine.announce, given, machine.say, engine,
        )  # fmt: skip
        return replace(context, fitted_on=frozenset() if given is None else self.catalogue.fitted())

    def _near(self, queries: ImageTable, context: RunContext) -> ImageTable:
        """Return the confirmed photographs; of a large catalogue only those that can be candidates of the queries."""
        if context.given is None or len(self.gallery) <= _NARROW_ABOVE or not NearestPhotographs.suffices(context):
            return self.gallery
        return self.gallery.select(self._nearest.rows(queries))

    def _loaded(self, table: ImageTable) -> LoadedTable:
        return LoadedTable(Source(self.catalogue.folder, None), table, [], None, False)

    def _dataset(self, dataset: str | None) -> str:
        held = self.gallery.datasets
        if dataset is None and len(held) > 1:
            raise DataError(f"The catalogue holds {', '.join(held)}. Say which one (dataset).")
        if dataset is not None and dataset not in held:
            raise DataError(f"dataset {dataset}: the catalogue holds {', '.join(held)}.")
        return dataset or held[0]


def _photographs(given: Sequence[Path], warn: Callable[[str], None]) -> Iterator[Path]:
    """Yield photographs, and those below folders."""
    for path in given:
        if (url := remote_url(path)) is not None:
            raise DataError(f"{url}: only photographs on a disk can be asked about. Copy it to this machine first.")
        below = photographs_below(path) if path.is_dir() else [path]
        if not below:
            warn(f"{path}: there is no photograph in this folder.")
        yield from below


def _one_row(photograph: Path, dataset: str) -> ImageTable:
    """Return a table of one query."""
    try:
        key = content_key(read_regular(photograph), WHOLE_XYWHR)
    except OSError as error:
        raise PhotographError(f"{photograph}: cannot be read ({error.strerror}).") from error
    path = photograph.resolve()
    return ImageTable.of_lists(
        path.parent, [True], image_id=[f"who/{key}"], path=[str(path)], dataset=[dataset], identity=[None], key=[key]
    )


def joined(first: ImageTable, second: ImageTable) -> ImageTable:
    """Return the rows of two tables; paths start at the first one's root."""
    names = ("image_id", "path", "dataset", "is_query", "identity", "date", "viewpoint", "species", "encounter", "key")
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    masks = [np.full(len(one), "", dtype=object) if one.mask is None else one.mask for one in (first, second)]
    mask = np.concatenate(masks)
    boxes = np.concatenate([first.bbox_xywhr, second.bbox_xywhr])
    return ImageTable(root=first.root, bbox_xywhr=boxes, mask=mask if (mask != "").any() else None, **columns)
