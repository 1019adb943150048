"""LightGlue networks with random weights whose heads have something to tell, and features for them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kornia.feature import LightGlue
from safetensors.torch import save_file

from animalclef.matching.lightglue.loading import LightGlueConfig, LightGlueModel
from animalclef.structures import LocalFeatures

__all__ = ["SIFT", "SMALL", "features", "kornia_matches", "random_model", "save_ours"]

torch.set_num_threads(1)  # networks as small as these lose time on a second one

SMALL = LightGlueConfig("aliked", 32, 64, 4, 2, depth_confidence=-1, width_confidence=-1)

SIFT = LightGlueConfig("sift", 128, 96, 3, 1, add_scale_ori=True, depth_confidence=-1, width_confidence=-1,
             signed_orientation=False)  # fmt: skip


def random_model(shape: LightGlueConfig = SMALL, seed: int = 0) -> LightGlueModel:
    """Weights large enough for matches, for layers that settle some pairs, and for points that are dropped."""
    torch.manual_seed(seed)
    network = LightGlue(features=None, **shape.architecture).eval().requires_grad_(False)
    for head in network.log_assignment:
        head.final_proj.weight.mul_(6)
        head.matchability.weight.mul_(3)
        head.matchability.bias.add_(2.0)
    for threshold, head in zip(network.confidence_thresholds, network.token_confidence, strict=False):
        head.token[0].weight.mul_(2)
        head.token[0].bias.add_(torch.logit(threshold))  # about half of the points are sure
    return LightGlueModel(network, shape, "random", Path("random"))


def features(
    count: int, seed: int, shape: LightGlueConfig = SMALL, size_wh: tuple[int, int] = (640, 400), key: str | None = None
) -> LocalFeatures:
    """Random keypoints inside a non-square image; SIFT's descriptors are whole numbers."""
    rng = np.random.default_rng([seed, count])
    points = (rng.random((count, 2)) * size_wh).astype(np.float32)
    scale = rng.uniform(2, 30, count).astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    key = key or f"{seed + 1:016x}{count:016x}"
    if shape.features == "sift":
        descriptors = np.clip(rng.random((count, 128)) ** 3 * 256, 0, 255).astype(np.uint8)
        return LocalFeatures(key, points, descriptors, scale, turn, size_wh)
    values = rng.normal(size=(count, shape.input_dim)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return LocalFeatures(key, points, values, scale, turn, size_wh, extractor=shape.features)


def kornia_matches(model: LightGlueModel, one: LocalFeatures, other: LocalFeatures) -> tuple[dict[Any, float], int]:
    """What kornia's own forward says of one pair alone: confidence by (i, j), and the layers it ran."""
    from animalclef.features.local.unit_descriptors import root_sift

    sides = {}
    for name, image in (("image0", one), ("image1", other)):
        sift = model.config.features == "sift"
        parts = {"keypoints": image.keypoints_xy, "scales": image.scale * (512 / max(image.image_size_wh))}
        parts["descriptors"] = root_sift(image.descriptors) if sift else image.descriptors
        parts["oris"] = image.orientation_rad
        sides[name] = {key: torch.from_numpy(np.asarray(part, np.float32))[None] for key, part in parts.items()}
        sides[name]["image_size"] = torch.tensor([image.image_size_wh], dtype=torch.float32)
    with torch.inference_mode():
        found = _plain(model)(sides)
    pairs = map(tuple, found["matches"][0].tolist())
    return dict(zip(pairs, found["scores"][0].tolist(), strict=True)), int(found["stop"])


@lru_cache(maxsize=4)
def _plain(model: LightGlueModel) -> LightGlue:
    network = LightGlue(features=None, **model.config.architecture)
    network.load_state_dict(model.network.state_dict())
    return network.eval()


def save_ours(path: Path, model: LightGlueModel) -> Path:
    """As `train-matcher` writes a matcher."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = model.config
    told = {"features": shape.features, "input_dim": shape.input_dim, "descriptor_dim": shape.descriptor_dim,
            "n_layers": shape.n_layers, "num_heads": shape.num_heads, "add_scale_ori": shape.add_scale_ori}  # fmt: skip
    save_file(model.network.state_dict(), path, metadata={"lightglue": json.dumps(told)})
    return path
