"""LighterGlue's real weights on XFeat keypoints of real photographs."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import XFeat
from numpy.typing import NDArray
from safetensors.torch import load_file
from shared_folder import SHARED

from animalclef.config import RerankConfig
from animalclef.matching.lightglue.factory import open_lightglue
from animalclef.matching.lightglue.matcher import LightGlueMatcher
from animalclef.structures import LocalFeatures

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def weights() -> Path:
    return SHARED / "weights"


@pytest.fixture(scope="module")
def extractor(weights: Path) -> XFeat:
    torch.set_num_threads(1)
    extractor = XFeat()
    extractor.net.load_state_dict(load_file(weights / "xfeat.safetensors"))
    return extractor.eval()


@pytest.fixture(scope="module")
def matcher(weights: Path) -> LightGlueMatcher:
    config = RerankConfig(matcher="lightglue", weights=str(weights / "lighterglue_l3.safetensors"), precision="float32")
    return open_lightglue(config, "xfeat", "cpu")


def photographs(folder: Path, individuals: int) -> list[list[NDArray[np.uint8]]]:
    """Two database photographs of each of some individuals of one data set."""
    paths = defaultdict(list)
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "database" and row["identity"]:
                paths[row["dataset"], row["identity"]].append(folder / row["path"])
    chosen = [found[:2] for _, found in sorted(paths.items()) if len(found) > 1][:individuals]
    return [[read(path) for path in found] for found in chosen]


def read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    scale = 480 / max(pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def extract_features(extractor: XFeat, pixels: NDArray[np.uint8], key: str) -> LocalFeatures:
    with torch.inference_mode():
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        found = extractor.detectAndCompute(image, top_k=400)[0]
    nothing = np.zeros(len(found["keypoints"]), np.float32)
    size = (pixels.shape[1], pixels.shape[0])
    return LocalFeatures(
        key, found["keypoints"].numpy(), found["descriptors"].numpy(), nothing, nothing, size, extractor="xfeat"
    )


def seen_anew(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A little turned, smaller and darker, with noise."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6, 0.85)
    moved = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    noisy = moved * 0.8 + np.random.default_rng(0).normal(0, 4, moved.shape)
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def test_the_same_photograph_seen_anew_matches_and_another_animal_does_not(
    extractor: XFeat, matcher: LightGlueMatcher, shared: Path
) -> None:
    animals = photographs(shared / "data" / "wild", 5)
    first = [extract_features(extractor, pictures[0], f"a{number}") for number, pictures in enumerate(animals)]
    anew = [
        extract_features(extractor, seen_anew(pictures[0]), f"b{number}") for number, pictures in enumerate(animals)
    ]
    inliers = np.array([matcher.match(one, anew)[:, matcher.columns.index("inliers")] for one in first])
    same, others = np.diag(inliers), inliers[~np.eye(len(inliers), dtype=bool)]
    assert same.min() > 2 * others.max()
    drawn = matcher.correspondences(first[0], anew[0])
    assert drawn.is_inlier.sum() == same[0]
    width, height = first[0].image_size_wh
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6, 0.85)
    error = np.linalg.norm(drawn.query_xy @ turn[:, :2].T + turn[:, 2] - drawn.gallery_xy, axis=1)
    assert np.median(error) < 2


def test_another_company_changes_nothing(extractor: XFeat, matcher: LightGlueMatcher, shared: Path) -> None:
    pictures = [picture for pair in photographs(shared / "data" / "wild", 3) for picture in pair]
    images = [extract_features(extractor, picture, f"{number}") for number, picture in enumerate(pictures)]
    few = images[1]
    images[1] = few.select(np.arange(len(few)) < 9)
    together = matcher.match(images[0], images[1:])
    for row, other in zip(together, images[1:], strict=True):
        np.testing.assert_allclose(matcher.match(images[0], [other])[0], row, atol=1e-3)
