"""Encounters by backgrounds that match."""

from __future__ import annotations

import numpy as np
from rows import Row, image_table, strings

from animalclef.config.data import EncounterConfig
from animalclef.data.encounters import find_encounters
from animalclef.pipeline.background_events import leave_enough, linking_threshold


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
