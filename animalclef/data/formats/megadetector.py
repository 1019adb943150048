"""MegaDetector's JSON: boxes of animals, as shares of the photograph.

Format 1.4: https://github.com/agentmorris/MegaDetector/tree/main/megadetector/api/batch_processing
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from animalclef.data.folders import individuals_of_paths
from animalclef.data.formats.json_file import is_box, left_out, number, objects, rows_to_table, text
from animalclef.data.table_file import Problem, Table
from animalclef.runtime.wording import counted

__all__ = ["is_megadetector", "megadetector_table"]

_COLUMNS = ("image_id", "path", "identity", "split", "bbox", "confidence")
_LEAST_CONFIDENCE = 0.2  # what MegaDetector's authors advise for its version 5


def is_megadetector(content: dict[str, Any]) -> bool:
    """Return whether a JSON object is MegaDetector's."""
    return "images" in content and "detection_categories" in content


def megadetector_table(content: dict[str, Any], path: Path) -> Table:
    """Return a row for every animal that was detected with a confidence of at least 0.2.

    Individual and split come from the folders in the file names, as in a tree with a folder per individual. One folder
    alone is no individual.

    Raises:
        DataError: the file is not as its format says.
    """
    categories = content["detection_categories"]
    named = {key for key, name in categories.items() if name == "animal"} if isinstance(categories, dict) else set()
    animal = named or {"1"}
    rows, empty, failed = [], 0, 0
    for image in objects(content, "images", path):
        file = text(image.get("file"))
        detections = image.get("detections")
        found = [one for one in detections if _is_animal(one, animal)] if isinstance(detections, list) else []
        failed += bool(image.get("failure"))
        empty += not found and not image.get("failure")
        for place, detection in enumerate(found, start=1):
            image_id = file if place == 1 else f"{file}#{place}"
            box = json.dumps(detection["bbox"])
            rows.append({"image_id": image_id, "path": file, "bbox": box, "confidence": str(detection["conf"])})
    base = f"{path.parent.absolute()}/"
    below = [row["path"].replace("\\", "/").removeprefix(base) for row in rows]
    whose = individuals_of_paths(below)
    tops = {file.split("/")[0] for file in below}
    if len(tops) == 1 and tops == set(whose.values()):
        whose = {}  # one folder that holds all photographs is no individual
    for row, file in zip(rows, below, strict=True):
        row["identity"] = whose.get(file) or ""
        row["split"] = "database" if row["identity"] else "query"
    problems = left_out(
        path, (empty, "photograph", "without an animal"), (failed, "photograph", "that it could not read")
    )
    if names := sorted({row["identity"] for row in rows if row["identity"]}):
        sentence = (
            f"{counted(len(names), 'individual', 'is')} named by the folders of the photographs (first: {names[0]})."
        )
        problems.append(Problem(path.name, None, sentence, fatal=False))
    return rows_to_table(path, _COLUMNS, rows, problems)


def _is_animal(detection: object, animal: set[str]) -> bool:
    if not isinstance(detection, dict):
        return False
    confidence = number(detection.get("conf"))
    is_sure = confidence is not None and confidence >= _LEAST_CONFIDENCE
    return is_sure and is_box(detection.get("bbox")) and text(detection.get("category")) in animal
