"""Prepare the photographs of a run: find the animals, choose what of each photograph is used, and cut."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from animalclef.config import Config, fingerprint
from animalclef.data.masks import Masks, find_masks
from animalclef.features.local.sift import SiftExtractor
from animalclef.pipeline.choose_preparation import choose_preparations
from animalclef.pipeline.choose_upright import UprightTrial, can_try_upright, choose_upright
from animalclef.pipeline.cut_photographs import cut_and_link
from animalclef.pipeline.features import encounters_of_whole
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.keypoint_budget import sized_for_job
from animalclef.pipeline.models import library_versions
from animalclef.pipeline.preparation_table import DatasetPreparation, PreparationRecord, variants_csv
from animalclef.pipeline.run_context import RunContext, open_pair_log
from animalclef.runtime.atomic_files import write_text
from animalclef.structures import ImageTable

__all__ = ["prepare_photographs"]

logger = logging.getLogger(__name__)

_GIVEN = 0.5  # of the photographs with a box or a mask in the table: the data set counts as prepared


def prepare_photographs(contents: Contents, context: RunContext) -> tuple[Contents, RunContext]:
    """Return the table as it is used from here on, and the context with what was chosen.

    The boxes, masks and content keys are those of the prepared photographs; the settings name the number of keypoints,
    the mode of every data set, where only the query's viewpoint is compared, and where keypoints are upright. What is
    settled is recorded in `prepare.json` and `prepare.csv` of the run folder, and used again when the same run resumes.

    Raises:
        DataError: a photograph changed or is gone, or a mask that is given cannot be used.
    """
    images, folder = contents.images, context.config.keypoints.masks
    masks = find_masks(images, None if folder is None else Path(folder))
    context = _with_keypoints(images, context)
    settled = {name: _given(name, images, context.config) for name in images.datasets}
    known = {name: one for name, one in settled.items() if one is not None}
    if len(known) == len(settled) and not can_try_upright(context):
        record = PreparationRecord(datasets=_with_settings(known, {}, context))
    else:
        path = _record_path(contents, known, context)
        kept = _read(path)
        record = _chosen(images, masks, known, context) if kept is None else kept
        if kept is None:
            write_text(path, record.model_dump_json(indent=1) + "\n")
    if context.say is not None and (record.upright or record.datasets != known):
        context.say(" ".join(f"{sentence}." for sentence in record.sentences()))
    write_text(context.folder.path / "prepare.json", record.model_dump_json(indent=1) + "\n")
    write_text(context.folder.path / "prepare.csv", variants_csv(record.datasets))
    context = _resolved(record, context)
    if set(record.modes.values()) <= {"whole"}:
        return contents, context
    return _cut(contents, record, masks, context), context


def _chosen(
    images: ImageTable, masks: Masks | None, known: Mapping[str, DatasetPreparation], context: RunContext
) -> PreparationRecord:
    """Return what is settled, and a choice for everything else."""
    rest = [name for name in images.datasets if name not in known]
    if context.models.segmenter is None:
        chosen = {name: DatasetPreparation(mode="whole", reason="no segmenter") for name in rest}
    else:
        chosen = choose_preparations(rest, images, masks, context)
    parts = {name: known.get(name) or chosen[name] for name in images.datasets}
    trials = choose_upright(images, {name: one.mode for name, one in parts.items()}, masks, context)
    return PreparationRecord(datasets=_with_settings(parts, trials, context))


def _with_settings(
    parts: Mapping[str, DatasetPreparation], trials: Mapping[str, UprightTrial], context: RunContext
) -> dict[str, DatasetPreparation]:
    """Note whose keypoints are described upright and whose sides are told apart: settings come before trials."""
    noted, retrieve = {}, context.config.retrieve
    for name, part in parts.items():
        found: dict[str, object] = {"upright": context.config.keypoints.is_upright(name)}
        if retrieve.same_viewpoint != "auto":
            found["same_viewpoint"] = retrieve.compares_one_side(name)
        if trial := trials.get(name):
            gain, error = round(trial.gain, 4), round(trial.error, 4)
            found |= {"upright": trial.is_better, "upright_gain": gain, "upright_error": error}
        noted[name] = part.model_copy(update=found)
    return noted


def _with_keypoints(images: ImageTable, context: RunContext) -> RunContext:
    """Return the context with as many keypoints as the job affords."""
    config = sized_for_job(context.config, images, tunes=context.given is None, groups_all=context.groups_all)
    if config is context.config or not isinstance(context.models.extractor, SiftExtractor):
        return context
    models = replace(context.models, extractor=SiftExtractor(config.keypoints))
    log = open_pair_log(config, context.folder, models)
    return replace(context.with_config(config), models=models, log=log)


def _given(dataset: str, images: ImageTable, config: Config) -> DatasetPreparation | None:
    """Return what the settings or the table say of a data set; `None` where it is to be chosen."""
    mode, mine = config.prepare.of(dataset), images.select(images.dataset == dataset)
    if mode != "auto":
        return DatasetPreparation(mode=mode, reason="as the settings say")
    if np.isfinite(mine.bbox_xywhr).all(axis=1).mean() >= _GIVEN:
        return DatasetPreparation(mode="whole", reason="the table gives boxes")
    if config.keypoints.masks is not None or (mine.mask is not None and (mine.mask != "").mean() >= _GIVEN):
        return DatasetPreparation(mode="whole", reason="masks are given")
    return None


def _cut(contents: Contents, record: PreparationRecord, masks: Masks | None, context: RunContext) -> Contents:
    """Cut the photographs, and find the encounters of whole ones."""
    prepared, kept, links = cut_and_link(contents.images, record.modes, masks, context)
    for sentence in links.sentences():
        context.warn(sentence)
    images, digest = contents.images.select(kept), contents.digest
    if not kept.all():
        digest = Contents(images, contents.set_aside).digest
    encounters = encounters_of_whole(images.gallery, links.all(), context)
    return Contents(prepared, contents.set_aside, encounters, digest)


def _resolved(record: PreparationRecord, context: RunContext) -> RunContext:
    """Return the context with what was chosen in its settings, so that a finished run says what was done."""
    config = context.config
    update: dict[str, object] = {"prepare": config.prepare.model_copy(update={"mode": record.modes})}
    if config.retrieve.same_viewpoint == "auto":
        sides = record.same_viewpoint or False
        update["retrieve"] = config.retrieve.model_copy(update={"same_viewpoint": sides})
    if config.keypoints.upright == "auto":
        update["keypoints"] = config.keypoints.model_copy(update={"upright": record.upright})
    return context.with_config(config.model_copy(update=update))


def _record_path(contents: Contents, known: Mapping[str, DatasetPreparation], context: RunContext) -> Path:
    """Return where the choice for these photographs, settings and weights is kept."""
    segmenter, masks = context.models.segmenter, contents.images.mask
    models = [context.scores_id, *(log.path.name for log in context.logs), segmenter and segmenter.fingerprint]
    settings = context.config.digested(exclude={"cluster": True, "data": {"cache_gb"}}) | {"name": ""}
    given = [] if masks is None else masks.tolist()
    seen = [contents.digest, given, sorted((name, one.mode) for name, one in known.items())]
    made = fingerprint(4, seen, settings, models, library_versions(), context.given is None)
    return context.folder.path / "preparations" / f"{made}.json"


def _read(path: Path) -> PreparationRecord | None:
    try:
        return PreparationRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s: not a preparation of this version; it is chosen again.", path)
        return None
