"""How the photographs were prepared that a decision was tuned on; a decision holds for no others."""

from __future__ import annotations

from pydantic import Field

from animalclef.config import Config
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
        """Return the settings with these choices; a data set that is not named stays whole."""
        update: dict[str, object] = {
            "prepare": config.prepare.model_copy(update={"mode": {**self.modes}}),
            "retrieve": config.retrieve.model_copy(update={"same_viewpoint": self.same_viewpoint}),
            "keypoints": config.keypoints.model_copy(
                update={"max_keypoints": self.max_keypoints, "long_side": self.long_side, "matched": self.matched}
            ),
        }
        if self.vote_keypoints is not None:
            update["vote"] = config.vote.model_copy(update={"max_keypoints": self.vote_keypoints})
        return config.model_copy(update=update)
