"""Show in the report how the photographs of each data set were prepared, with a sheet of what is left of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from animalclef.pipeline.preparation_table import DatasetPreparation, PreparationRecord
from animalclef.prepare.contact_sheet import CELL, contact_sheet, spread_rows
from animalclef.report.thumbnails import outlined, read_photograph
from animalclef.store.finished_run import FinishedRun

__all__ = ["PreparedSheet", "prepared_sheets"]

_SHOWN, _ACROSS = 24, 8  # photographs of a data set, in a line


@dataclass(frozen=True)
class PreparedSheet:
    """One data set's preparation; `picture` is a data address of a JPEG, empty where photographs stay whole."""

    name: str
    preparation: DatasetPreparation
    picture: str


def prepared_sheets(run: FinishedRun) -> Sequence[PreparedSheet]:
    """Return one for each data set; none where the run recorded no preparation."""
    try:
        record = PreparationRecord.model_validate_json((run.path / "prepare.json").read_bytes())
    except (OSError, ValidationError):
        return ()
    return [
        PreparedSheet(name, one, "" if one.mode == "whole" else _sheet(run, name))
        for name, one in sorted(record.datasets.items())
        if name in run.images.datasets
    ]


def _sheet(run: FinishedRun, dataset: str) -> str:
    ids = run.images.image_id[run.images.dataset == dataset]
    chosen = [str(ids[row]) for row in spread_rows(len(ids), _SHOWN)]
    read = [(image_id, read_photograph(run, image_id, 2 * CELL)) for image_id in chosen]
    cells = [(None if image is None else outlined(run, image_id, image).pixels, image_id) for image_id, image in read]
    jpeg = contact_sheet(cells, _ACROSS)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
