"""The settings of a run: one frozen tree."""

from __future__ import annotations

from pydantic import Field

from animalclef.config.base import Settings
from animalclef.config.budget import BudgetConfig
from animalclef.config.data import DataConfig, EncounterConfig
from animalclef.config.decision import DecideConfig
from animalclef.config.matching import KeypointConfig, RerankConfig
from animalclef.config.prepare import PrepareConfig
from animalclef.config.retrieval import EmbedConfig, RetrieveConfig, VoteConfig

__all__ = ["Config"]


class Config(Settings):
    """Everything that shapes a submission."""

    name: str = Field("offline", pattern=r"^[A-Za-z0-9._-]+$")
    seed: int = Field(0, ge=0, le=2_000_000_000)
    data: DataConfig = DataConfig()
    encounters: EncounterConfig = EncounterConfig()
    prepare: PrepareConfig = PrepareConfig()
    embed: EmbedConfig = EmbedConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    vote: VoteConfig = VoteConfig()
    keypoints: KeypointConfig = KeypointConfig()
    rerank: RerankConfig = RerankConfig()
    budget: BudgetConfig = BudgetConfig()
    decide: DecideConfig = DecideConfig()
