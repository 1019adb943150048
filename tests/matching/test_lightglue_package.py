"""The original package's interface, played by a module of its shape."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from lightglue_cases import SIFT, features, kornia_matches, random_model

from animalclef.config import RerankConfig
from animalclef.errors import ConfigError
from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher
from animalclef.matching.lightglue.package_backend import PackageLightGlue

CPU = torch.device("cpu")


class LightGlue(torch.nn.Module):
    """As the package has it: keyword arguments, a dictionary in, a dictionary of lists out."""

    def __init__(self, features: str | None = "superpoint", **conf: Any) -> None:
        from kornia.feature import LightGlue as Network

        super().__init__()
        assert features is None  # or it would download weights
        self.network = Network(features=None, **conf)

    def state_dict(self, *_: Any, **__: Any) -> Any:
        state = self.network.state_dict()
        return {name: value for name, value in state.items() if name != "confidence_thresholds"}  # not kept there

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        kept = {"confidence_thresholds": self.network.confidence_thresholds}
        return self.network.load_state_dict({**kept, **state}, strict=strict)

    def forward(self, data: dict[str, dict[str, torch.Tensor]]) -> dict[str, Any]:
        for side in ("image0", "image1"):
            assert data[side]["keypoints"].ndim == 3
            assert data[side]["image_size"].tolist() == [[640, 400]]
        found = self.network(data)
        return {"matches": found["matches"], "scores": found["scores"]}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("lightglue")
    package.LightGlue = LightGlue  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightglue", package)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("sift", [False, True])
def test_the_same_weights_and_columns(sift: bool) -> None:
    model = random_model(SIFT) if sift else random_model()
    one, other, empty = (features(count, count, model.config) for count in (50, 30, 0))
    matcher = LightGlueMatcher(
        RerankConfig(matcher="lightglue"), [DeviceWorker(PackageLightGlue(model, CPU), 1 << 20, 4096)]
    )
    scores = matcher.match(other, [one, empty])
    expected, _ = kornia_matches(model, one, other)
    values = np.array(list(expected.values()))
    levels = [(values > level).sum() for level in (0.2, 0.5, 0.8)]
    assert scores[0, :5] == pytest.approx([len(values), values.sum(), *levels], abs=1e-3)
    assert not scores[1].any()
    drawn = matcher.correspondences(one, other)
    assert len(drawn) == len(values)


def test_without_the_package_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightglue", None)
    with pytest.raises(ConfigError, match=r"pip install git\+https://github.com/cvg/LightGlue.*backend=kornia"):
        PackageLightGlue(random_model(), CPU)
