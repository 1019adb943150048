"""Prepare the photographs of a run: find the animals, choose what of each photograph is used, and cut."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import PIL
from pydantic import ValidationError

from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.features.extract import ExtractionJob, ThumbnailExtractor, extract_features
from animalclef.pipeline.background_events import BackgroundLinks, link_by_background
from animalclef.pipeline.choose_preparation import Chooser
from animalclef.pipeline.features import thumbnail_stores
from animalclef.pipeline.image_contents import Contents, keyed
from animalclef.pipeline.models import Tools
from animalclef.pipeline.preparation_table import DatasetPreparation, PreparationRecord, variants_csv
from animalclef.prepare.cut_out import prepared_table
from animalclef.prepare.outlines import BatchSegmenter, Outlines, find_outlines
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Progress
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable

__all__ = ["Prepared", "Preparing"]

logger = logging.getLogger(__name__)

_GIVEN = 0.5  # of the photographs with a box or a mask in the table: the data set counts as prepared


@dataclass(frozen=True, eq=False)
class Prepared:
    """The table as it is used from here on, with settings that say how it came about."""

    contents: Contents  # boxes, masks and content keys of the prepared photographs
    config: Config  # `prepare.mode` and `retrieve.same_viewpoint` as they were chosen
    record: PreparationRecord
    outlines: Outlines | None = None
    links: BackgroundLinks = field(default_factory=lambda: BackgroundLinks({}, {}))
    encounters: Encounters | None = None  # of whole photographs; None where nothing was cut


@dataclass(frozen=True, eq=False)
class Preparing:
    """Prepares the photographs of a run; everything it settles is kept in the run folder."""

    contents: Contents
    config: Config
    run: RunFolder
    workers: int
    progress: Progress
    open_segmenter: Callable[[], BatchSegmenter]
    say: Callable[[str], None]

    def __call__(self, tools: Tools, *, tunes: bool) -> Prepared:
        """Return the prepared table; where the run does not tune (a decision is given) nothing is tried.

        Raises:
            WeightsError: the segmenter's weights are not there, or do not fit.
            DataError: a photograph changed or is gone.
        """
        images = self.contents.images
        settled = {name: self._given(name) for name in images.datasets}
        settled = {name: one for name, one in settled.items() if one is not None}
        open_ones = [name for name in images.datasets if name not in settled]
        if not open_ones and all(one.mode == "whole" for one in settled.values()):
            return self._without_outlines(settled)
        segmenter = self.open_segmenter()
        record = self._known(segmenter, tools, settled) if tunes else None
        if record is None:
            chosen = self._choose(open_ones, segmenter, tools, tunes=tunes)
            record = PreparationRecord(datasets=dict(sorted({**settled, **chosen}.items())))
            write_text(self._path(segmenter, tools, settled), record.model_dump_json(indent=1) + "\n")
        self._write(record)
        return self._apply(record, segmenter)

    def _given(self, dataset: str) -> DatasetPreparation | None:
        """What the settings or the table say; `None` where it is to be chosen."""
        mode, images = self.config.prepare.of(dataset), self.contents.images
        mine = images.select(images.dataset == dataset)
        if mode != "auto":
            return DatasetPreparation(mode=mode, reason="as the settings say")
        if np.isfinite(mine.bbox_xywhr).all(axis=1).mean() >= _GIVEN:
            return DatasetPreparation(mode="whole", reason="the table gives boxes")
        if self.config.keypoints.masks is not None or (mine.mask is not None and (mine.mask != "").mean() >= _GIVEN):
            return DatasetPreparation(mode="whole", reason="masks are given")
        return None

    def _without_outlines(self, settled: Mapping[str, DatasetPreparation]) -> Prepared:
        record = PreparationRecord(datasets=dict(sorted(settled.items())))
        self._write(record)
        return Prepared(self.contents, self._resolved(record), record)

    def _resolved(self, record: PreparationRecord) -> Config:
        """The settings with what was chosen, so that a finished run says what was done."""
        prepare = self.config.prepare.model_copy(update={"mode": record.modes})
        update: dict[str, object] = {"prepare": prepare}
        if record.same_viewpoint and self.config.retrieve.same_viewpoint is not True:
            given = self.config.retrieve.same_viewpoint or ()
            sides = tuple(sorted({*record.same_viewpoint, *given}))
            update["retrieve"] = self.config.retrieve.model_copy(update={"same_viewpoint": sides})
        return self.config.model_copy(update=update)

    def _choose(
        self, names: list[str], segmenter: BatchSegmenter, tools: Tools, *, tunes: bool
    ) -> dict[str, DatasetPreparation]:
        if not names:
            return {}
        if not tunes:
            reason = "a decision is given that names no preparation"
            return {name: DatasetPreparation(mode="whole", reason=reason) for name in names}
        chooser = Chooser(self.contents, self.config, tools, self.run, self.workers, self.progress, self.say)
        return chooser(names, lambda images: self._outlines(images, segmenter))

    def _apply(self, record: PreparationRecord, segmenter: BatchSegmenter) -> Prepared:
        images, modes = self.contents.images, record.modes
        cut = np.array([modes[name] != "whole" for name in images.dataset], dtype=bool)
        config = self._resolved(record)
        if not cut.any():
            return Prepared(self.contents, config, record)
        some = images.select(cut)
        outlines = self._outlines(some, segmenter)
        links = BackgroundLinks({}, {})
        if config.prepare.events:
            links = link_by_background(some.gallery, outlines.mask, config, self.run, self.workers, self.progress)
            _report(links)
        prepared = prepared_table(images, outlines.text, outlines.mask, modes, config.prepare.margin)
        contents = replace(self.contents, images=keyed(prepared, self.workers))
        return Prepared(contents, config, record, outlines, links, self._encounters(links))

    def _encounters(self, links: BackgroundLinks) -> Encounters:
        """Encounters by thumbnails of whole photographs: cut to the animal, those of different events look alike."""
        gallery, config = self.contents.images.gallery, self.config
        store, unreadable = thumbnail_stores(self.run, config)
        job = ExtractionJob(ThumbnailExtractor(), store)
        skipped = extract_features(gallery, [job], unreadable, config.data, self.workers, self.progress)
        gone = {one.image_id for one in skipped}
        gallery = gallery.select(np.array([one not in gone for one in gallery.image_id], dtype=bool))
        thumbnails = {key: store.get(key)["thumbnail"].astype(np.float32) for key in dict.fromkeys(gallery.key)}
        return find_encounters(gallery, thumbnails, config.encounters, links.all())

    def _outlines(self, images: ImageTable, segmenter: BatchSegmenter) -> Outlines:
        decoding = [self.config.data.decode_long_side, self.config.data.max_pixels, cv2.__version__, PIL.__version__]
        store = ShardStore(self.run.store("outlines", fingerprint(1, segmenter.fingerprint, decoding)))
        return find_outlines(images, segmenter, store, self.config.data, self.workers, self.progress)

    def _path(self, segmenter: BatchSegmenter, tools: Tools, settled: Mapping[str, DatasetPreparation]) -> Path:
        """Where the choice for these photographs, settings and weights is kept."""
        versions = [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]
        models = [
            None if tools.network is None else tools.network.digest,
            None if tools.extractor is None else tools.extractor.fingerprint,
            tools.made_by,
        ]
        modes = {name: one.mode for name, one in settled.items()}
        made = fingerprint(1, self.contents.digest, self.config, segmenter.fingerprint, models, modes, versions)
        return self.run.path / "preparations" / f"{made}.json"

    def _known(
        self, segmenter: BatchSegmenter, tools: Tools, settled: Mapping[str, DatasetPreparation]
    ) -> PreparationRecord | None:
        path = self._path(segmenter, tools, settled)
        try:
            return PreparationRecord.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            logger.warning("%s: not a preparation of this version; it is chosen again.", path)
            return None

    def _write(self, record: PreparationRecord) -> None:
        write_text(self.run.path / "prepare.json", record.model_dump_json(indent=1) + "\n")
        write_text(self.run.path / "prepare.csv", variants_csv(record.datasets))


def _report(links: BackgroundLinks) -> None:
    for name, pairs in sorted(links.pairs.items()):
        if pairs:
            logger.warning(
                "%s: the backgrounds of %d pairs of database photographs match, so each pair counts as one encounter. "
                "An encounter column would say more.",
                name, len(pairs),
            )  # fmt: skip

