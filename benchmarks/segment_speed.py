"""Photographs a second of the segmenter, beside OpenCV running the published U2-Net-P one photograph at a time.

python benchmarks/segment_speed.py --onnx u2netp.onnx --photographs FOLDER

Both take turns within one run on the same photographs and cores; a figure is a median, the ratio is the median over the
turns. Decoding is not counted; preparing the input is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.decode import resize_long_side
from animalclef.hub.catalogue import shipped_segmenter
from animalclef.prepare.u2net_segmenter import MapReader, network_input
from animalclef.prepare.u2netp import load_u2netp


def main() -> None:
    """Print seconds per photograph and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    paths = sorted(path for path in given.photographs.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // given.count)][: given.count]
    images = [resize_long_side(cv2.imread(str(path))[:, :, ::-1], 512, enlarge=False) for path in chosen]
    cv2.setNumThreads(given.workers)
    reference = cv2.dnn.readNetFromONNX(str(given.onnx))
    readers = {
        "ours, what ships": MapReader(load_u2netp(shipped_segmenter()), "cpu", given.workers),
        "ours, u2netp": MapReader(load_u2netp(given.onnx), "cpu", given.workers),
    }
    seconds: dict[str, list[float]] = {"cv2.dnn": [], **{name: [] for name in readers}}
    for turn in range(given.rounds + 1):  # the first one warms up
        start = time.perf_counter()
        for image in images:
            one_by_one(reference, image)
        taken = {"cv2.dnn": time.perf_counter() - start}
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.read(images)
            taken[name] = time.perf_counter() - start
        for name, each in taken.items():
            seconds[name] += [each / len(images)] if turn else []
    for name, each in seconds.items():
        ratio = statistics.median(base / own for base, own in zip(seconds["cv2.dnn"], each, strict=True))
        print(f"{name:18s} {statistics.median(each):.3f} s a photograph, {ratio:.2f} times as fast as cv2.dnn")


def one_by_one(network: cv2.dnn.Net, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the map of one photograph, as the authors' example does."""
    network.setInput(network_input(image)[None])
    return np.asarray(network.forward(network.getUnconnectedOutLayersNames()[0]))


if __name__ == "__main__":
    main()
