"""The record of a preparation: what was chosen for each data set, why, and what the trial measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator

from animalclef.config import Config
from animalclef.config.prepare import Mode
from animalclef.decision.calibrators import Part
from animalclef.decision.decision_model import Preparation

__all__ = ["DatasetPreparation", "PreparationRecord", "VariantScore", "preparation_of", "variants_csv"]


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)


Figure = Annotated[float | None, AfterValidator(_rounded)]  # four decimals; None for NaN


class VariantScore(Part):
    """What a trial measured of one preparation of one data set."""

    mode: Mode
    score: Figure  # nested validation score on the sample
    behind: Figure  # behind the best score
    error: Figure  # standard error of that difference
    rank1: Figure  # of stage one alone


_USED = {
    "whole": "photographs are used whole",
    "masked": "keypoints off the animal are dropped",
    "cut-out": "photographs are cut to the animal",
    "along-body": "photographs are cut along the animal's body",
}

_SIDES = "; each side is compared with its own"
_UPRIGHT = "; keypoints are described upright"


class DatasetPreparation(Part):
    """What is done with the photographs of one data set."""

    mode: Mode
    reason: str
    same_viewpoint: bool = False
    upright: bool = False  # keypoints are described upright
    upright_gain: Figure = None  # mean change of log((own inliers + 1) / (stranger's + 1)) if they are
    upright_error: Figure = None  # its standard error over individuals
    photographs: int = 0  # of the sample
    queries: int = 0  # pseudo-queries of the sample
    outlined: Figure = None  # share of the sample on which an animal stands out
    filled: Figure = None  # median share of a photograph that the animal fills
    uniform: Figure = None  # share of the sample with a background of one colour
    off_animal_before: Figure = None  # share of verified matches off the animal, whole photographs
    other_viewpoints: Figure = None  # share of verified right matches that are of another viewpoint
    variants: tuple[VariantScore, ...] = ()


class PreparationRecord(Part):
    """All data sets; written into the run folder before the long part begins."""

    datasets: dict[str, DatasetPreparation]

    @property
    def modes(self) -> dict[str, Mode]:
        """Return the mode of each data set."""
        return {name: one.mode for name, one in self.datasets.items()}

    @property
    def same_viewpoint(self) -> tuple[str, ...]:
        """Return the data sets in which a query is compared with its own viewpoint only."""
        return tuple(sorted(name for name, one in self.datasets.items() if one.same_viewpoint))

    @property
    def upright(self) -> tuple[str, ...]:
        """Return the data sets whose keypoints are described upright."""
        return tuple(sorted(name for name, one in self.datasets.items() if one.upright))

    def sentences(self) -> list[str]:
        """Return a sentence per data set for the terminal."""
        return [
            f"{name}: {_USED[one.mode]} ({one.reason}{_SIDES * one.same_viewpoint}{_UPRIGHT * one.upright})"
            for name, one in sorted(self.datasets.items())
        ]


def variants_csv(datasets: Mapping[str, DatasetPreparation]) -> str:
    """Return the table of variants: one row per data set and preparation tried."""
    rows = [
        {"dataset": name, **one.model_dump(), "chosen": int(one.mode == chosen.mode)}
        for name, chosen in sorted(datasets.items())
        for one in chosen.variants
    ]
    columns = ["dataset", "mode", "score", "behind", "error", "rank1", "chosen"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.4f", lineterminator="\n")


def preparation_of(config: Config) -> Preparation:
    """Return what a decision must know to be applied to photographs prepared in the same way."""
    modes = config.prepare.mode if isinstance(config.prepare.mode, dict) else {}
    sides = config.retrieve.same_viewpoint
    keypoints = config.keypoints
    return Preparation(
        modes=dict(sorted(modes.items())),
        same_viewpoint=False if sides == "auto" else sides,
        max_keypoints=keypoints.max_keypoints,
        long_side=keypoints.long_side,
        matched=keypoints.matched,
        upright=False if keypoints.upright == "auto" else keypoints.upright,
        vote_keypoints=config.vote.max_keypoints,
    )
