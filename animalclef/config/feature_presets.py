"""The registry of local features and their default sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FEATURES", "Feature", "family"]


@dataclass(frozen=True)
class Feature:
    """One kind of local feature.

    `family` names the code that makes it; the name of a feature is also the name of its weights. A network's image has
    sides that are whole multiples of `multiple`.
    """

    family: str
    dimensions: int  # of a descriptor
    licence: str
    long_side: int = 512
    max_keypoints: int = 512
    multiple: int = 1
    has_weights: bool = True


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "sift": Feature("sift", 128, "Apache-2.0 (OpenCV)", has_weights=False),
        "aliked-n16": Feature("aliked", 128, "BSD-3-Clause"),
        "aliked-n16rot": Feature("aliked", 128, "BSD-3-Clause"),
        "aliked-n32": Feature("aliked", 128, "BSD-3-Clause"),
        "aliked-t16": Feature("aliked", 64, "BSD-3-Clause"),
        "xfeat": Feature("xfeat", 64, "Apache-2.0", long_side=640, multiple=32),
        "disk": Feature("disk", 128, "Apache-2.0", multiple=16),
        "superpoint": Feature("superpoint", 256, "non-commercial", multiple=8),
    }
)


def family(extractor: str) -> str:
    """Return the family of features that a matcher is trained on, such as `aliked` for aliked-n16 and aliked-n32."""
    return extractor.partition("-")[0]
