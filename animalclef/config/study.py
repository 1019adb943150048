"""Settings of a study: several trainings and the split they are compared on."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from animalclef.config.base import Settings
from animalclef.config.training_split import SplitConfig

__all__ = ["ArmConfig", "StudyConfig", "slug"]


def slug(name: str) -> str:
    """Return a name fit for a folder: letters, digits and hyphens, in lower case."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


class ArmConfig(Settings):
    """One way to obtain the networks that embed each data set."""

    name: str = Field(min_length=1)
    recipe: str | None = Field(None, description="a training recipe; default: the study's")
    set: tuple[str, ...] = Field((), description="differences from the recipe, as --set takes them: a.b=value")
    start: str | None = Field(None, description="a name given with --start NAME=FILE; default: random weights")
    trained: bool = Field(True, description="false: the start as it is")
    each: bool = Field(False, description="a network of its own for every data set, instead of one for all")
    leave_out: bool = Field(False, description="every data set is embedded by a network trained on the others")
    then_tuned: bool = Field(False, description="leave_out: the network is then trained on the data set it left out")
    router: tuple[str, ...] | None = Field(
        None,
        description="each: a network trained to classify species (with these differences from the recipe) chooses the "
        "data set in which a query is searched; a wrong choice is a wrong answer",
    )
    gallery_images: tuple[int, ...] = Field(
        (), description="measured with at most so many gallery photographs of each individual; default: all"
    )

    @model_validator(mode="after")
    def _sensible(self) -> ArmConfig:
        if not self.trained and self.start is None:
            raise ValueError(f"arm {self.name}: trained: false needs a start")
        if self.each and self.leave_out:
            raise ValueError(f"arm {self.name}: each and leave_out exclude one another")
        if self.then_tuned and not self.leave_out:
            raise ValueError(f"arm {self.name}: then_tuned needs leave_out")
        if self.router is not None and not self.each:
            raise ValueError(f"arm {self.name}: router needs each")
        if any(count < 1 for count in self.gallery_images):
            raise ValueError(f"arm {self.name}: gallery_images must be 1 or more")
        return self


class StudyConfig(Settings):
    """A question about training, answered on one data folder."""

    name: str = Field("study", pattern=r"^[A-Za-z0-9._-]+$")
    question: str = Field("", description="printed above the table")
    recipe: str = Field("embedder-small", description="the training recipe that arms start from")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="every arm is trained once with each")
    split: SplitConfig = Field(
        SplitConfig(kind="closed-set"),
        description="of the database, where the queries' truth is not given; one split for all arms and seeds",
    )
    split_seed: int = Field(0, ge=0, le=2_000_000_000)
    arms: tuple[ArmConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> StudyConfig:
        if not all(0 <= seed <= 2_000_000_000 for seed in self.seeds):
            raise ValueError("seeds must be between 0 and 2000000000")
        folders = [slug(arm.name) for arm in self.arms]
        if len(set(folders)) < len(folders) or "" in folders:
            raise ValueError("arms must have names that differ in their letters (a-z) and digits: folders are named so")
        if self.split.kind == "paper" and any(arm.gallery_images for arm in self.arms):
            raise ValueError("gallery_images needs a gallery; split.kind=paper has none")
        return self
