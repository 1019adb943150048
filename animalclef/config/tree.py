"""The tree of a run's settings."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import ClassVar

from pydantic import Field

from animalclef.config.base import FileName, Seed, Settings
from animalclef.config.budget import BudgetConfig
from animalclef.config.data import DataConfig, EncounterConfig
from animalclef.config.decision import ClusterConfig, DecideConfig
from animalclef.config.matching import KeypointConfig, RerankConfig
from animalclef.config.prepare import PrepareConfig
from animalclef.config.retrieval import EmbedConfig, RetrieveConfig, VoteConfig
from animalclef.errors import ConfigError

__all__ = ["Config"]

logger = logging.getLogger(__name__)


class Config(Settings):
    """All settings of a run."""

    shipped_in: ClassVar[str] = ""

    name: FileName = Field("offline", description="name of the settings, used in the names of folders")
    seed: Seed = Field(0, description="seed of everything random")
    data: DataConfig = DataConfig()
    encounters: EncounterConfig = EncounterConfig()
    prepare: PrepareConfig = PrepareConfig()
    embed: EmbedConfig = EmbedConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    vote: VoteConfig = VoteConfig()
    keypoints: KeypointConfig = KeypointConfig()
    rerank: RerankConfig = RerankConfig()
    budget: BudgetConfig = BudgetConfig()
    cluster: ClusterConfig = ClusterConfig()
    decide: DecideConfig = DecideConfig()

    def check_datasets(self, known: Collection[str]) -> None:
        """Check settings by data set; one that names data sets the table does not hold has no effect.

        A setting that also names one that is there may serve several tables: it is a warning.

        Raises:
            ConfigError: a setting names no data set of the table.
        """
        by_dataset: dict[str, object] = {
            "prepare.mode": self.prepare.mode,
            "retrieve.same_viewpoint": self.retrieve.same_viewpoint,
            "keypoints.upright": self.keypoints.upright,
            "keypoints.views": self.keypoints.views,
            **{f"decide.{name}": value for name, value in self.decide if isinstance(value, dict)},
        }
        for setting, value in by_dataset.items():
            named = value if isinstance(value, dict | tuple) else ()
            absent = sorted(set(named) - set(known))
            told = f"{setting}: the table has no data set {', '.join(absent)}; it has {', '.join(known)}."
            if absent and len(absent) == len(set(named)):
                raise ConfigError(told)
            if absent:
                logger.warning("%s", told)

    def of_embedders(self) -> dict[str, Config]:
        """Return by label the settings with a further embedder in place of the first."""
        asides = {"name", "optional"}
        return {
            one.label: self.model_copy(update={"embed": EmbedConfig(**one.model_dump(exclude=asides), members=())})
            for one in self.embed.members
        }

    def of_matchers(self) -> dict[str, Config]:
        """Return by label the settings with a further matcher and its local features in place of the first."""
        shared = {name: getattr(self.keypoints, name) for name in ("masks", "views", "border")}
        shared["upright"] = self.keypoints.upright if self.keypoints.is_sift else False  # part of the keys of all
        asides = {"name", "optional", "keypoints"}
        return {
            one.label: self.model_copy(
                update={
                    "keypoints": one.keypoints.model_copy(update=shared),
                    "rerank": RerankConfig(**one.model_dump(exclude=asides)),
                }
            )
            for one in self.rerank.members
        }
