"""How the photographs were prepared that a decision was tuned on; a decision holds for no others."""

from __future__ import annotations

from pydantic import Field

from animalclef.config import Config, VoteConfig
from animalclef.config.prepare import Mode
from animalclef.decision.calibrators import Part

__all__ = ["Preparation"]


class Preparation(Part):
    """What was chosen by the size of the job and by trial."""

    modes: dict[str, Mode] = Field(default_factory=dict)
    same_viewpoint: bool | tuple[str, ...] = False
    max_keypoints: int | None = None
    long_side: int | None = None
    matched: int | None = None
    vote_keypoints: int | None = None

    def applied_to(self, config: Config) -> Config:
        """Return the settings with these choices where they leave the choice open; other data sets stay whole.

        What the settings give themselves stays, so that a decision is refused where it does not fit.
        """
        keypoints, open_ones = config.keypoints, ("max_keypoints", "long_side", "matched")
        sizes = {name: getattr(self, name) for name in open_ones if getattr(keypoints, name) is None}
        modes = config.prepare.mode
        given = {name: mode for name, mode in modes.items() if mode != "auto"} if isinstance(modes, dict) else {}
        update: dict[str, object] = {"keypoints": keypoints.model_copy(update=sizes)}
        if modes == "auto" or isinstance(modes, dict) or set(self.modes.values()) == {modes}:
            update["prepare"] = config.prepare.model_copy(update={"mode": {**self.modes, **given}})
        if config.retrieve.same_viewpoint is False:
            update["retrieve"] = config.retrieve.model_copy(update={"same_viewpoint": self.same_viewpoint})
        if self.vote_keypoints is not None and config.vote == VoteConfig():
            update["vote"] = config.vote.model_copy(update={"max_keypoints": self.vote_keypoints})
        return config.model_copy(update=update)
