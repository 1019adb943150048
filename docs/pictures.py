"""Draw the README's picture from the demo run that `make demo` leaves: python docs/pictures.py

Each line shows a query, the answer, and its best candidates with the keypoint matches that agree on one transform.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from animalclef.artefacts import DecodedImage, LocalFeatures
from animalclef.config import Config
from animalclef.data.decode import read_image, resize_long_side
from animalclef.data.images import load_table
from animalclef.data.sources import find_source
from animalclef.models.mutual_nearest import agreeing, mutual_matches, root_sift
from animalclef.stages.keypoints import extract_sift

TILE_WH = (300, 220)
SHOWN = {"SpottedCatDemo": 1, "FireNewtDemo": 1, "SeaTurtleDemo": 1}


def main() -> None:
    """Write docs/images/demo.jpg."""
    images = load_table(find_source(Path(".demo"))).images
    candidates = pd.read_csv("runs/demo/candidates.csv", dtype={"query_id": str, "gallery_id": str})
    answers = pd.read_csv("submissions/demo/submission.csv", dtype=str).set_index("image_id")["identity"]
    lines = []
    for dataset, place in SHOWN.items():
        mine = candidates[candidates["dataset"] == dataset]
        best = mine.groupby("query_id", sort=False).first().sort_values("probability", ascending=False)
        known = [query for query in best.index if answers[query] != "new_individual"]
        lines.append(line(images, mine, known[place * 3], answers[known[place * 3]]))
    new = [query for query in candidates["query_id"].unique() if answers[query] == "new_individual"]
    lines.append(line(images, candidates, new[7], "new individual"))
    cv2.imwrite("docs/images/demo.jpg", np.vstack(lines)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def line(images, candidates, query: str, answer: str) -> np.ndarray:
    """A query beside its two best individuals."""
    config = Config()
    row_of = images.row_of
    rows = candidates[candidates["query_id"] == query].drop_duplicates("identity").head(2)
    one = read_image(images, row_of[query], config.data)
    tiles = []
    for _, candidate in rows.iterrows():
        other = read_image(images, row_of[candidate["gallery_id"]], config.data)
        caption = f"{candidate['identity'].split('_', 1)[1]}   p = {candidate['probability']:.2f}"
        tiles.append(pair(one, other, f"query {query}: {answer.split('_', 1)[-1]}", caption, config))
    return np.hstack(tiles)


def pair(one: DecodedImage, other: DecodedImage, left: str, right: str, config: Config) -> np.ndarray:
    """Two photographs with lines between their agreeing keypoints."""
    a, b = extract_sift(one, config.keypoints), extract_sift(other, config.keypoints)
    first, second, _ = mutual_matches(root_sift(a.descriptors) @ root_sift(b.descriptors).T, config.rerank.ratio)
    tolerance = config.rerank.tolerance * max(b.image_size_wh)
    agrees = agreeing(a.keypoints_xy[first], b.keypoints_xy[second], config.rerank.geometry, tolerance)
    canvas = np.hstack([tile(one, left), tile(other, right)])
    starts, ends = placed(a, first[agrees], 0), placed(b, second[agrees], TILE_WH[0])
    for start, end in zip(starts, ends, strict=True):
        cv2.line(canvas, start, end, (80, 255, 120), 1, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(canvas, point, 3, (80, 255, 120), 1, cv2.LINE_AA)
    return canvas


def tile(image: DecodedImage, caption: str) -> np.ndarray:
    """A photograph in its frame with a caption."""
    width, height = TILE_WH
    frame = np.full((height, width, 3), 24, np.uint8)
    pixels, (left, top) = fitted(image)
    frame[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    cv2.rectangle(frame, (0, height - 22), (width, height), (24, 24, 24), -1)
    cv2.putText(frame, caption, (6, height - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (240, 240, 240), 1, cv2.LINE_AA)
    return frame


def fitted(image: DecodedImage) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels scaled into the frame, and where their corner lies."""
    width, height = TILE_WH[0], TILE_WH[1] - 22
    scale = min(width / image.pixels.shape[1], height / image.pixels.shape[0])
    pixels = resize_long_side(image.pixels, max(1, int(max(image.pixels.shape) * scale)), enlarge=True)[:height, :width]
    return pixels, ((width - pixels.shape[1]) // 2, (height - pixels.shape[0]) // 2)


def placed(features: LocalFeatures, rows: np.ndarray, shift: int) -> list[tuple[int, int]]:
    """Keypoints in pixels of the canvas."""
    width, height = TILE_WH[0], TILE_WH[1] - 22
    w, h = features.image_size_wh
    scale = min(width / w, height / h)
    left, top = (width - w * scale) / 2 + shift, (height - h * scale) / 2
    return [(int(x * scale + left), int(y * scale + top)) for x, y in features.keypoints_xy[rows]]


if __name__ == "__main__":
    main()
