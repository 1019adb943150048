"""Individual animal re-identification at competition strength.

Every public name is loaded on first use, so that `import animalclef` is quick.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Catalogue": "catalogues",
    "Dataset": "datasets",
    "Clusters": "clustering",
    "Embedder": "extractors",
    "LocalFeatureExtractor": "extractors",
    "Masks": "extractors",
    "Matcher": "matches",
    "Matches": "matches",
    "Run": "finished",
    "cluster": "clustering",
    "competition_score": "scoring",
    "create_catalogue": "catalogues",
    "ensemble": "runs",
    "load_catalogue": "catalogues",
    "load_config": "datasets",
    "load_dataset": "datasets",
    "load_run": "runs",
    "predict": "runs",
    "retrieval_metrics": "scoring",
    "retrieve": "scoring",
    "segment": "extractors",
    "train_embedder": "training",
    "train_matcher": "training",
    "tune_decision": "runs",
    "write_report": "finished",
}  # module of animalclef.api by public name

__all__ = [
    "Catalogue",
    "Clusters",
    "Dataset",
    "Embedder",
    "LocalFeatureExtractor",
    "Masks",
    "Matcher",
    "Matches",
    "Run",
    "cluster",
    "competition_score",
    "create_catalogue",
    "ensemble",
    "load_catalogue",
    "load_config",
    "load_dataset",
    "load_run",
    "predict",
    "retrieval_metrics",
    "retrieve",
    "segment",
    "train_embedder",
    "train_matcher",
    "tune_decision",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("animalclef.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'animalclef' has no attribute {name!r}")
    value = getattr(import_module(f"animalclef.api.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
