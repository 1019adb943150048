"""Photographs a second of the segmenter, beside OpenCV running the published U2-Net-P one photograph at a time.

python benchmarks/segment_speed.py --onnx u2netp.onnx --photographs FOLDER
python benchmarks/segment_speed.py --device cuda --photographs FOLDER --count 64

Both take turns within one run on the same photographs and cores; a figure is a median, the ratio is the median over the
turns. Decoding is not counted; preparing the input is.

On a GPU ours stands beside plain torch: float32, one photograph at a time. Then the network alone in batches, beside a
large matrix product measured in the same turn in the same precision (TF32 for float32, as cuDNN convolves by default).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from device_timing import Product, median_ratio, seconds_of
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from animalclef.data.decode import resize_long_side
from animalclef.hub.catalogue import shipped_segmenter
from animalclef.prepare.u2net_segmenter import SIDE, U2NetSegmenter, mask_from_map, network_input
from animalclef.prepare.u2netp import load_u2netp


def main() -> None:
    """Print seconds per photograph and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", type=Path, help="on a processor: the published network")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 8, 32, 128], help="of the network alone, on a GPU"
    )
    given = parser.parse_args()
    if given.device == "cpu" and given.onnx is None:
        parser.error("--onnx is needed, except on a GPU")
    paths = sorted(path for path in given.photographs.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // given.count)][: given.count]
    images = [resize_long_side(cv2.imread(str(path))[:, :, ::-1], 512, enlarge=False) for path in chosen]
    if given.device != "cpu":
        on_gpu(images, given)
        return
    cv2.setNumThreads(given.workers)
    reference = cv2.dnn.readNetFromONNX(str(given.onnx))
    readers = {
        "ours, what ships": U2NetSegmenter(load_u2netp(shipped_segmenter()), "cpu", given.workers),
        "ours, u2netp": U2NetSegmenter(load_u2netp(given.onnx), "cpu", given.workers),
    }
    seconds: dict[str, list[float]] = {"cv2.dnn": [], **{name: [] for name in readers}}
    for turn in range(given.rounds + 1):  # the first one warms up
        start = time.perf_counter()
        for image in images:
            one_by_one(reference, image)
        taken = {"cv2.dnn": time.perf_counter() - start}
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.maps(images)
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


def on_gpu(images: list[NDArray[np.uint8]], given: argparse.Namespace) -> None:
    """Print photographs a second of the plain way and of ours, and the network alone in batches."""
    device = torch.device(given.device)
    plain = load_u2netp(shipped_segmenter()).to(device)
    reader = U2NetSegmenter(load_u2netp(shipped_segmenter()), given.device, given.workers)
    segmenter = U2NetSegmenter(load_u2netp(shipped_segmenter()), given.device, given.workers)
    ways: dict[str, Callable[[], object]] = {
        "plain, one by one": lambda: [plain_map(plain, image, device) for image in images],
        "ours, maps": lambda: reader.maps(images),
        "preparing the input": lambda: [network_input(image) for image in images],
        "ours, maps and masks": lambda: segmenter.segment(images),
    }
    seconds = in_turn(ways, given.rounds, device)
    for name, each in seconds.items():
        ratio = median_ratio(seconds["plain, one by one"], each)
        rate = len(images) / statistics.median(each)
        print(f"{name:22s} {rate:8.1f} photographs a second, {ratio:6.2f} times as fast as plain, one by one")
    shapes = [(image.shape[1], image.shape[0]) for image in images]
    maps = zip(reader.maps(images), [plain_map(plain, image, device) for image in images], shapes, strict=True)
    pairs = [(mask_from_map(own, size), mask_from_map(other, size)) for own, other, size in maps]
    overlap = [float((own & other).sum() / max(1, (own | other).sum())) for own, other in pairs if (own | other).any()]
    if overlap:
        print(f"masks of ours ({reader.format}) and plain: overlap at least {min(overlap):.4f}")
    network_alone(given.batches, given.rounds, device)


def network_alone(batches: list[int], rounds: int, device: torch.device) -> None:
    """Print milliseconds a photograph of the network in every precision, and its share of a product's speed."""
    formats = (torch.float32, torch.bfloat16, torch.float16)
    plain = load_u2netp(shipped_segmenter()).to(device)
    networks = {kind: load_u2netp(shipped_segmenter()).to(device, kind) for kind in formats}
    ours = {kind: network.to(memory_format=torch.channels_last) for kind, network in networks.items()}
    products = {kind: Product(kind, device) for kind in formats}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plain(torch.zeros(1, 3, SIDE, SIDE, device=device))
    work = counter.get_total_flops()
    print(f"the network alone, {work / 1e9:.1f} billion operations a photograph")
    for count in batches:
        shown = torch.randn(count, 3, SIDE, SIDE, device=device)
        ways: dict[str, Callable[[], object]] = {"plain": lambda shown=shown: plain(shown)}  # type: ignore[misc]
        for kind, network in ours.items():
            own = shown.to(kind).contiguous(memory_format=torch.channels_last)
            ways[str(kind)] = lambda network=network, own=own: network(own)  # type: ignore[misc]
            ways[f"product {kind}"] = products[kind]
        with torch.inference_mode():
            seconds = in_turn(ways, rounds, device)
        for name in ("plain", *map(str, formats)):
            speed = "torch.float32" if name == "plain" else name
            product = median_ratio(seconds[f"product {speed}"], seconds[name])
            share = product * work * count / products[torch.float32].operations
            each = 1e3 * statistics.median(seconds[name]) / count
            print(
                f"batch {count:4d} {name.removeprefix('torch.'):9s} {each:7.3f} ms a photograph, "
                f"{median_ratio(seconds['plain'], seconds[name]):5.2f} times plain, "
                f"share of the product's speed {share:.3f}",
                flush=True,
            )


def plain_map(network: nn.Module, image: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """Return the map of one photograph in float32, as the authors' example does on a GPU."""
    with torch.no_grad():
        shown = torch.from_numpy(network_input(image)[None]).to(device)
        return np.asarray(torch.sigmoid(network(shown))[0, 0].cpu().numpy())


def in_turn(ways: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return seconds of every round, the ways in turn; a first round warms up."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name, run in ways.items():
            taken = seconds_of(run, device)
            seconds[name] += [taken] if turn else []
    return seconds


if __name__ == "__main__":
    main()
