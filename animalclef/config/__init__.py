"""Settings: one frozen tree with defaults in code; YAML files and `--set` hold the differences."""

from animalclef.config.budget import BudgetConfig
from animalclef.config.data import DataConfig, EncounterConfig, SplitConfig
from animalclef.config.decision import DecideConfig
from animalclef.config.embedder_training import TrainConfig
from animalclef.config.loading import changed_settings, fingerprint, load_config, load_recipe, shipped_configs
from animalclef.config.matching import KeypointConfig, RerankConfig
from animalclef.config.retrieval import EmbedConfig, RetrieveConfig, VoteConfig
from animalclef.config.training import TrainMatcherConfig
from animalclef.config.tree import Config

__all__ = [
    "BudgetConfig",
    "Config",
    "DataConfig",
    "DecideConfig",
    "EmbedConfig",
    "EncounterConfig",
    "KeypointConfig",
    "RerankConfig",
    "RetrieveConfig",
    "SplitConfig",
    "TrainConfig",
    "TrainMatcherConfig",
    "VoteConfig",
    "changed_settings",
    "fingerprint",
    "load_config",
    "load_recipe",
    "shipped_configs",
]
