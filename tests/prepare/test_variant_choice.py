"""Which preparation is chosen from what a trial measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from animalclef.config.prepare import MODES, Mode
from animalclef.prepare.variant_choice import (
    Evidence,
    Margin,
    believed,
    can_be_tried,
    choose_variant,
    mode_by_rule,
)

SCENE = Evidence(photographs=200, outlined=0.9, filled=0.5, uniform=0.0, off_animal=0.2)
NONE = Margin(0.0, 0.0)


THREE: tuple[Mode, ...] = ("whole", "masked", "cut-out")


def behind(*pairs: tuple[float, float]) -> dict[Mode, Margin]:
    return {mode: Margin(*pair) for mode, pair in zip(THREE, pairs, strict=True)}


def test_the_best_wins_where_it_is_more_than_a_standard_error_ahead() -> None:
    chosen = choose_variant(THREE, behind((0.1, 0.03), (0.1, 0.04), (0, 0)), {}, SCENE)
    assert chosen == ("cut-out", "the best nested score")


def test_a_tie_goes_to_the_cheapest() -> None:
    chosen = choose_variant(THREE, behind((0.02, 0.03), (0.01, 0.04), (0, 0)), {}, SCENE)
    assert chosen == ("whole", "validation scores alike; the cheapest")


def test_of_tied_ones_the_best_stage_one_wins() -> None:
    rank1: dict[Mode, Margin] = {"whole": Margin(0.2, 0.05), "masked": Margin(0.2, 0.05), "cut-out": NONE}
    chosen = choose_variant(THREE, behind((0.02, 0.03), (0.01, 0.04), (0, 0)), rank1, SCENE)
    assert chosen[0] == "cut-out"


@pytest.mark.parametrize(
    ("filled", "off_animal", "expected"), [(0.5, 0.7, "cut-out"), (0.2, 0.1, "cut-out"), (0.7, 0.9, "whole")]
)
def test_a_tie_goes_to_the_cut_out_where_the_background_speaks_for_it(
    filled: float, off_animal: float, expected: Mode
) -> None:
    evidence = Evidence(200, 0.9, filled, 0.0, off_animal=off_animal)
    chosen = choose_variant(THREE, behind((0, 0.1), (0, 0.1), (0, 0)), {}, evidence)
    assert chosen[0] == expected


def test_without_outlines_nothing_is_cut() -> None:
    faces = Evidence(photographs=200, outlined=0.3, filled=0.2, uniform=0.0)
    chosen = choose_variant(THREE, behind((0.4, 0.01), (0.4, 0.01), (0, 0)), {}, faces)
    assert chosen[0] == "whole"
    assert not can_be_tried(500, faces)
    assert can_be_tried(500, SCENE)
    assert not can_be_tried(99, SCENE)


def test_nothing_to_validate_is_decided_by_rule() -> None:
    assert choose_variant([], {}, {}, SCENE)[0] == "whole"
    assert mode_by_rule(Evidence(20, 1.0, 0.2, 0.0))[0] == "cut-out"
    assert mode_by_rule(Evidence(20, 1.0, 0.2, 1.0, any_angle=True))[0] == "along-body"
    assert mode_by_rule(Evidence(20, 1.0, 0.8, 1.0, any_angle=True))[0] == "whole"  # a lynx cut to the frame
    assert mode_by_rule(Evidence(20, 0.0, None, None))[0] == "whole"


def test_a_rule_that_validation_rules_out_is_not_followed() -> None:
    small = Evidence(200, 0.9, filled=0.2, uniform=0.0)  # the rule alone would cut
    chosen = choose_variant(THREE, behind((0, 0), (0.02, 0.03), (0.2, 0.05)), {}, small)
    assert chosen == ("whole", "validation scores alike; the cheapest")


def test_a_rule_cuts_where_an_animal_stands_out_on_most_photographs_alone() -> None:
    assert mode_by_rule(Evidence(12, outlined=0.95, filled=0.2, uniform=0.0))[0] == "cut-out"
    mode, reason = mode_by_rule(Evidence(12, outlined=0.6, filled=0.2, uniform=0.0))
    assert (mode, reason) == ("whole", "an animal stands out on fewer than four of five photographs")


def test_whole_photographs_are_not_believed_where_backgrounds_are_matched() -> None:
    backgrounds = replace(SCENE, filled=0.34, off_animal=0.92)
    assert believed(MODES, backgrounds) == [mode for mode in MODES if mode != "whole"]
    assert believed(["whole"], backgrounds) == ["whole"]  # nothing else was tried
    assert believed(MODES, replace(backgrounds, off_animal=0.3)) == list(MODES)
    assert believed(MODES, replace(backgrounds, filled=0.8)) == list(MODES)  # the mask is a part of the animal
    assert believed(MODES, replace(backgrounds, outlined=0.6)) == list(MODES)
