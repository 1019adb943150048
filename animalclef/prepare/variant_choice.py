"""Choose how the photographs of a data set are prepared, from what a trial on database photographs measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animalclef.config.prepare import MODES, Mode

__all__ = ["Evidence", "Margin", "believed", "can_be_tried", "choose_variant", "mode_by_rule"]

_SURE_OUTLINES = 0.8  # of the photographs: with fewer, no rule cuts; .95 or more on each of the six real data sets
_FEW_OUTLINES = 0.5  # of the photographs: with fewer outlines than this, nothing is cut
_FILLED = 0.6  # of the photograph: an animal this large needs no cut-out
_SMALL = 0.35  # of the photograph: an animal smaller than this gains pixels by being cut out
_UNIFORM = 0.5  # of the photographs
_LEAST_PHOTOGRAPHS = 100  # of the database: with fewer, a trial cannot tell
_OFF_ANIMAL = 0.5  # of verified matches between different individuals
_SURE = 2.0  # standard errors of a difference, as for upright keypoints: with one, another processor chose otherwise


@dataclass(frozen=True)
class Evidence:
    """What is known of a data set's photographs without any validation; `None` where it was not measured."""

    photographs: int
    outlined: float  # share of the photographs on which an animal stands out
    filled: float | None  # median share of a photograph that the animal fills
    uniform: float | None  # share of the photographs with a background of one colour
    any_angle: bool = False  # bodies are long and point in all directions
    off_animal: float | None = None  # share of verified matches between different individuals that lie off the animal


@dataclass(frozen=True)
class Margin:
    """How far one variant is behind the best one, with the standard error of that difference (paired)."""

    difference: float
    error: float

    @property
    def is_tie(self) -> bool:
        """Whether the difference is within two standard errors."""
        return not self.difference > _SURE * self.error


def choose_variant(
    tried: Sequence[Mode],
    behind: Mapping[Mode, Margin],
    behind_in_rank1: Mapping[Mode, Margin],
    evidence: Evidence,
) -> tuple[Mode, str]:
    """Return the chosen mode and the reason in words.

    `tried` are the modes with a nested validation score that is `believed`. The best score wins; modes within two
    standard errors of it are tied. Of tied ones the best rank-1 of stage one wins, by the same rule. What is still tied
    goes to the mode of the rule (`mode_by_rule`) where that is among them, else to the cheapest. `behind` holds the
    margin of every mode to the best nested score, `behind_in_rank1` that to the best rank-1 among the tied.

    >>> sample = Evidence(photographs=200, outlined=1.0, filled=0.5, uniform=0.0, off_animal=0.1)
    >>> ahead = {"whole": Margin(0.1, 0.02), "cut-out": Margin(0.0, 0.0)}
    >>> choose_variant(["whole", "cut-out"], ahead, {}, sample)
    ('cut-out', 'the best nested score')
    """
    if evidence.outlined < _FEW_OUTLINES:
        return "whole", "an animal stands out on fewer than half of the photographs"
    if not tried:
        return mode_by_rule(evidence)
    tied = [mode for mode in tried if behind[mode].is_tie]
    if len(tied) == 1:
        return tied[0], "the best nested score"
    ahead = [mode for mode in tied if mode not in behind_in_rank1 or behind_in_rank1[mode].is_tie]
    if len(ahead) == 1:
        return ahead[0], "validation scores alike; the best rank-1 of the embedding"
    wanted, reason = mode_by_rule(evidence)
    if wanted != "whole" and wanted in ahead:
        return wanted, f"validation scores alike; {reason}"
    return min(ahead, key=MODES.index), "validation scores alike; the cheapest"


def believed(modes: Sequence[Mode], evidence: Evidence) -> list[Mode]:
    """Return the modes whose validation can be believed.

    Where most verified matches between different individuals lie off the animal, backgrounds are matched. Database
    photographs of one individual share them more often than a query does, so whole photographs validate too well.

    >>> believed(["whole", "masked"], Evidence(photographs=200, outlined=1.0, filled=0.4, uniform=0.0, off_animal=0.9))
    ['masked']
    """
    if not _matches_backgrounds(evidence) or mode_by_rule(evidence)[0] == "whole":
        return list(modes)
    return [mode for mode in modes if mode != "whole"] or list(modes)


def _matches_backgrounds(evidence: Evidence) -> bool:
    return evidence.off_animal is not None and evidence.off_animal >= _OFF_ANIMAL


def can_be_tried(photographs: int, evidence: Evidence) -> bool:
    """Return whether a trial can tell preparations apart: the database is large enough, and animals stand out."""
    return photographs >= _LEAST_PHOTOGRAPHS and evidence.outlined >= _FEW_OUTLINES


def mode_by_rule(evidence: Evidence) -> tuple[Mode, str]:
    """Return the mode where validation cannot tell, and why.

    >>> mode_by_rule(Evidence(40, outlined=1.0, filled=0.17, uniform=1.0, any_angle=True))
    ('along-body', 'bodies lie at any angle before a uniform background')
    """
    if evidence.outlined < _SURE_OUTLINES or evidence.filled is None:
        return "whole", "an animal stands out on fewer than four of five photographs"
    if evidence.filled >= _FILLED:
        return "whole", "the animal fills most of the photograph"
    if (evidence.uniform or 0.0) >= _UNIFORM and evidence.any_angle:
        return "along-body", "bodies lie at any angle before a uniform background"
    if _matches_backgrounds(evidence):
        return "cut-out", "most verified matches between different individuals lie off the animal"
    if evidence.filled < _SMALL:
        return "cut-out", "the animal fills less than about a third of the photograph"
    return "whole", "nothing speaks against the whole photograph"
