"""Encounters by backgrounds that match."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from rows import Row, image_table, strings

from animalclef.config import Config
from animalclef.config.data import EncounterConfig
from animalclef.data.encounters import find_encounters
from animalclef.data.hashing import content_key
from animalclef.pipeline.background_events import leave_enough, link_by_background, linking_threshold
from animalclef.pipeline.run_context import RunContext
from animalclef.store.run_folder import RunFolder

if TYPE_CHECKING:
    from animalclef.pipeline.models import Models


def test_a_link_needs_more_than_random_pairs_of_different_individuals_have() -> None:
    assert linking_threshold([]) == 12
    assert linking_threshold([0] * 100) == 12
    assert linking_threshold([0] * 97 + [40] * 3) == 41
    assert linking_threshold([0] * 89 + [12] * 11) is None  # a fixed camera: backgrounds always match


def test_links_that_leave_nobody_to_be_found_are_no_events() -> None:
    identity = strings("A", "A", "A", "B", "B", "C")
    individuals = identity.tolist()
    assert leave_enough([(0, 1)], individuals, identity)  # A has two encounters left, B two
    assert leave_enough([(0, 1), (1, 2)], individuals, identity)  # B can still be found, half of those with several
    assert not leave_enough([(0, 1), (1, 2), (0, 2), (3, 4)], individuals, identity)
    assert leave_enough([], individuals, identity)


def test_linked_photographs_of_one_individual_are_one_encounter() -> None:
    gallery = image_table([Row("a", "Luna"), Row("b", "Luna"), Row("c", "Luna"), Row("d", "Nala")])
    thumbnails = dict(zip(gallery.key, np.eye(4, dtype=np.float32), strict=True))  # none is like another
    apart = find_encounters(gallery, thumbnails, EncounterConfig())
    assert len(set(apart.of.values())) == 4
    linked = find_encounters(gallery, thumbnails, EncounterConfig(), [("c", "b", 20), ("a", "d", 30)])
    assert linked.of["b"] == linked.of["c"] != linked.of["a"]
    assert linked.of["a"] != linked.of["d"]  # different individuals are never one encounter
    dated = gallery.with_columns(date=strings("2024-01-01", "2024-01-01", "2024-02-01", ""))
    assert find_encounters(dated, thumbnails, EncounterConfig(), [("b", "c", 20)]).of["b"] != linked.of["b"]


def test_photographs_before_one_background_are_linked_and_others_are_not(tmp_path: Path) -> None:
    """Luna twice before one wall, moved a little, and once before another; Nala and Mira before walls of their own."""
    rng = np.random.default_rng(0)

    def wall() -> np.ndarray:
        noise = cv2.GaussianBlur(rng.normal(size=(300, 420, 3)), (0, 0), 3)
        return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)

    first, walls = wall(), [wall() for _ in range(5)]
    photographs = [first[:280, :400], first[15:295, 15:415], *(other[:280, :400] for other in walls)]
    animal = cv2.resize(wall(), (100, 100))  # the same coat on every photograph: only what is off it may count
    mask = np.zeros((280, 400), dtype=bool)
    mask[90:190, 150:250] = True
    for number, photograph in enumerate(photographs):
        drawn = photograph.copy()
        drawn[90:190, 150:250] = animal
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), drawn)
    who = ["Luna", "Luna", "Luna", "Nala", "Nala", "Mira", "Mira"]
    table = replace(image_table([Row(str(number), one) for number, one in enumerate(who)]), root=tmp_path)
    keys = [content_key((tmp_path / path).read_bytes(), table.bbox_xywhr[0]) for path in table.path]
    gallery = table.with_columns(key=strings(*keys))
    context = RunContext(Config(), RunFolder(tmp_path / "run"), cast("Models", None), None, workers=1)

    links = link_by_background(gallery, lambda key: mask, context)
    assert [pair[:2] for pair in links.all()] == [("0", "1")]
    assert links.all()[0][2] >= 12
    assert "1 pair of database photographs with matching backgrounds" in links.sentences()[0]
    assert link_by_background(gallery, lambda key: None, context).all() == ()  # no masks, nothing off the animal
    dated = gallery.with_columns(date=strings(*["2024-01-01"] * 7))
    assert link_by_background(dated, lambda key: mask, context).all() == ()
    (tmp_path / "0.jpg").unlink()  # its background is in the run folder
    assert link_by_background(gallery, lambda key: mask, context).all() == links.all()
    other = RunContext(Config(), RunFolder(tmp_path / "other"), cast("Models", None), None, workers=1)
    assert link_by_background(gallery, lambda key: mask, other).all() == ()
