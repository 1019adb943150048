"""Settings of preparing photographs: where the animal is, and what of a photograph is used."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["MODES", "Mode", "PrepareConfig"]

Mode = Literal["auto", "whole", "masked", "cut-out", "along-body"]
MODES: tuple[Mode, ...] = ("whole", "masked", "cut-out", "along-body")
"""What can be done with the photographs of a data set, the cheapest first."""


class PrepareConfig(Settings):
    """What of each photograph is used.

    `whole` uses all of it. `masked` drops keypoints off the animal. `cut-out` cuts the photograph to a box around the
    animal, for both stages, and drops keypoints off the animal. `along-body` does the same with a box that is turned
    along the body, head up, for animals seen from above or below. `auto` tries these on database photographs.
    """

    mode: Mode | dict[str, Mode] = Field(
        "auto", description="whole, masked, cut-out, along-body or auto; or {data set: one of them}"
    )
    segmenter: str = Field(
        "animal", description="the model that finds the animal: the one that ships, u2netp, grabcut, a SAM, or a file"
    )
    margin: float = Field(0.06, ge=0, le=1, description="cut-outs: added to the animal's box, as a share of a side")
    trial_queries: int = Field(80, ge=12, description="auto: pseudo-queries of each data set that are tried")
    trial_photographs: int = Field(240, ge=24, description="auto: database photographs of each data set, at most")
    trial_candidates: int = Field(20, ge=1, description="auto: candidates of a pseudo-query that are matched")
    events: bool = Field(
        True,
        description="link database photographs of one individual whose backgrounds match into one encounter; where "
        "photographs stay whole, only in the trial",
    )

    def of(self, dataset: str) -> Mode:
        """Return the mode of one data set; one that is not named is chosen (`auto`)."""
        return self.mode.get(dataset, "auto") if isinstance(self.mode, dict) else self.mode
