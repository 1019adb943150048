"""COCO, COCO Camera Traps and Wildbook's COCO export: annotations of photographs with boxes, outlines and individuals.

COCO: https://cocodataset.org/#format-data. COCO Camera Traps:
https://github.com/agentmorris/MegaDetector/blob/main/megadetector/data_management/README.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from animalclef.data.columns import numbered
from animalclef.data.formats.json_file import is_box, left_out, number, objects, rows_to_table, text
from animalclef.data.table_file import Table

__all__ = ["coco_table", "is_coco"]

_COLUMNS = (
    "image_id", "path", "identity", "date", "orientation", "species", "split", "encounter", "bbox", "segmentation",
)  # fmt: skip
_INDIVIDUAL = ("individual_id", "identity", "individual", "name", "individual_uuid")
_EMPTY = frozenset({"empty", "no animal", "blank"})
_PEOPLE = frozenset({"human", "person", "vehicle"})


def is_coco(content: dict[str, Any]) -> bool:
    """Return whether a JSON object is a COCO data set."""
    return "images" in content and "annotations" in content


def coco_table(content: dict[str, Any], path: Path) -> Table:
    """Return a row for every annotation of an animal.

    Boxes are in pixels, or `bbox_relative`; `theta` (radians) turns them. An annotation without an individual is a
    query.

    Raises:
        DataError: the file is not as its format says.
    """
    images = {text(one.get("id")): one for one in objects(content, "images", path)}
    categories = {text(one.get("id")): text(one.get("name")) for one in objects(content, "categories", path)}
    names = _individual_names(content)
    rows: list[dict[str, str]] = []
    strays, used, people = 0, set(), set()
    for annotation in objects(content, "annotations", path):
        image_id = text(annotation.get("image_id"))
        image = images.get(image_id)
        species = categories.get(text(annotation.get("category_id")), "")
        if image is None:
            strays += 1
        elif species.lower() in _PEOPLE:
            people.add(image_id)
        elif species.lower() not in _EMPTY:
            used.add(image_id)
            rows.append(_row(annotation, image, species, names, len(rows)))
    for row, image_id in zip(rows, numbered(row["image_id"] for row in rows), strict=True):
        row["image_id"] = image_id
    problems = left_out(
        path,
        (strays, "annotation", "of photographs that are not listed"),
        (len(people - used), "photograph", "of people or vehicles alone"),
        (len(images) - len(used | people), "photograph", "without an animal"),
    )
    columns = _COLUMNS if any(row["split"] for row in rows) else tuple(one for one in _COLUMNS if one != "split")
    return rows_to_table(path, columns, rows, problems)


def _row(
    annotation: Mapping[str, Any], image: Mapping[str, Any], species: str, names: Mapping[str, str], place: int
) -> dict[str, str]:
    when = image.get("date_captured") or image.get("datetime") or image.get("date")
    segmentation = annotation.get("segmentation")
    return {
        "image_id": text(annotation.get("uuid")) or text(annotation.get("id")) or f"annotation {place}",
        "path": text(image.get("file_name")),
        "identity": _individual(annotation, names),
        "date": text(when),
        "orientation": text(annotation.get("viewpoint")),
        "species": species,
        "split": text(annotation.get("split")) or text(image.get("split")),
        "encounter": text(annotation.get("encounter_id")) or text(image.get("seq_id")),
        "bbox": _box(annotation),
        "segmentation": json.dumps(segmentation) if isinstance(segmentation, list | dict) and segmentation else "",
    }


def _individual_names(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of Wildbook's individuals, by their id."""
    info = content.get("info")
    mapping = info.get("individual_id_mapping") if isinstance(info, dict) else None
    return {str(key): text(name) for key, name in mapping.items()} if isinstance(mapping, dict) else {}


def _individual(annotation: Mapping[str, Any], names: Mapping[str, str]) -> str:
    several = annotation.get("individual_ids")
    candidates = [annotation.get(name) for name in _INDIVIDUAL]
    candidates += several[:1] if isinstance(several, list) else []
    attributes = annotation.get("attributes")
    candidates += [attributes.get(name) for name in _INDIVIDUAL] if isinstance(attributes, dict) else []
    found = next((text(one) for one in candidates if text(one)), "")
    return names.get(found) or found


def _box(annotation: Mapping[str, Any]) -> str:
    """Return the first of the two boxes that is one; else what stands there, which is refused for its row."""
    boxes = [annotation.get(name) for name in ("bbox", "bbox_relative")]
    for box in boxes:
        if is_box(box):
            theta = number(annotation.get("theta")) or 0.0
            return json.dumps([*box, theta] if theta else box)
    return next((json.dumps(box)[:200] for box in boxes if box), "")
