"""Pairs per second of LightGlue: ours, kornia pair by pair as its documentation shows, and wildlife-tools' way.

python benchmarks/matching_speed.py
python benchmarks/matching_speed.py --keypoints 512 --xfeat XFEAT.safetensors --weights LIGHTERGLUE.safetensors \
    --photographs FOLDER
python benchmarks/matching_speed.py --device cuda --keypoints 256 512 1024 2048 --pairs 100

Random weights (the shape of the released LightGlue: 9 layers, 256 wide) unless real ones are given. The ways take turns
within one run on the same pairs, weights, thresholds and threads; a figure is a median, a ratio is the median over the
turns. wildlife-tools' way: one batch in float32, every pair with its own copy of both images' features, padded to the
longest.

On a GPU all precisions take turns together, the first turn warms up and is not counted, (a) takes every fourth pair,
and kornia's attention is in float16 there by its own choice. `kept`: ours again, the images' states on the device.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device_timing import median_ratio, seconds_of
from kornia.feature import LightGlue, XFeat
from safetensors.torch import load_file

from animalclef.config import RerankConfig
from animalclef.matching.jobs import Job
from animalclef.matching.lightglue import layers as lightglue_layers
from animalclef.matching.lightglue.batched import BatchedLightGlue
from animalclef.matching.lightglue.loading import LightGlueConfig, LightGlueModel, load_lightglue
from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher
from animalclef.runtime.devices import has_bfloat16_units
from animalclef.structures import LocalFeatures

SIZE_WH = (640, 480)


def main() -> None:
    """Print a line per number of keypoints and precision."""
    given = arguments()
    torch.set_num_threads(given.threads)
    lightglue_layers._GRID = given.grid
    model = random_model() if given.weights is None else load_lightglue(given.weights, "xfeat")
    device = torch.device(given.device)
    precisions = [torch.float32] + ([torch.bfloat16] if has_bfloat16_units(device) else [])
    if given.device != "cpu":
        torch.backends.cuda.enable_cudnn_sdp(not given.without_cudnn)
        precisions.append(torch.float16)
        given.rounds += 1  # the first one warms up
    elif len(precisions) == 1:
        print("no bfloat16 units on this device: float32 only")
    together = [[one] for one in precisions] if given.device == "cpu" else [precisions]
    for count in given.keypoints:
        for ragged in (False, True):
            if given.xfeat and ragged:
                continue
            if given.xfeat:
                turns = [photographs(given, count)] * given.rounds
            else:
                turns = [random_images(model.config, count, given.pairs, ragged, turn) for turn in range(given.rounds)]
            for dtypes in together:
                name = f"{count:5d} {'ragged' if ragged else 'equal':6s}"
                if given.device == "cpu":
                    measure(model, turns, device, dtypes[0], name)
                else:
                    measure_gpu(model, turns, device, dtypes, given.batch_size, name)


def measure(
    model: LightGlueModel, turns: Sequence[Sequence[LocalFeatures]], device: torch.device, dtype: torch.dtype, name: str
) -> None:
    """Time the three ways in turn and print their medians."""
    config = RerankConfig(matcher="lightglue", verify=False)
    engine = BatchedLightGlue(model, device, dtype)
    kornia = LightGlue(features=None, **model.config.architecture)
    kornia.load_state_dict(model.network.state_dict())
    kornia = kornia.eval().to(device)
    seconds: dict[str, list[float]] = {way: [] for way in ("ours", "a", "b", "product")}
    engine.match([(engine.prepare(turns[0][0]), engine.prepare(turns[0][1]))])
    for images in turns:
        query, *others = images
        matcher = LightGlueMatcher(config, [DeviceWorker(engine, 4 << 30, 2048)])
        ways: dict[str, Callable[[], object]] = {
            "ours": partial(ours, matcher, images),
            "a": partial(pair_by_pair, kornia, query, others, device),
            "b": partial(one_batch, kornia, query, others, device),
        }
        for way, run in ways.items():
            seconds[way].append(seconds_of(run, device))
        work = sum(arithmetic(model.config, len(query), len(other)) for other in others)
        seconds["product"].append(product_seconds(device, dtype, work, 2048))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rate = {way: len(others) / statistics.median(values) for way, values in seconds.items()}
    ratio = {way: median_ratio(seconds[way], seconds["ours"]) for way in ("a", "b")}
    share = median_ratio(seconds["product"], seconds["ours"])
    print(
        f"{name} {str(dtype).removeprefix('torch.'):9s} ours {rate['ours']:7.2f} pairs/s   (a) {rate['a']:7.2f}   "
        f"(b) {rate['b']:7.2f}   ours/(a) {ratio['a']:5.2f}   ours/(b) {ratio['b']:5.2f}   "
        f"share of the matrix-product speed {share:.2f}   peak memory {peak:.2f} GB",
        flush=True,
    )


def measure_gpu(
    model: LightGlueModel,
    turns: Sequence[Sequence[LocalFeatures]],
    device: torch.device,
    dtypes: Sequence[torch.dtype],
    batch_size: int,
    name: str,
) -> None:
    """Time ours in every precision, (a) and (b) in turn, and print a line per precision."""
    config = RerankConfig(matcher="lightglue", verify=False, batch_size=batch_size)
    engines = {dtype: BatchedLightGlue(model, device, dtype) for dtype in dtypes}
    kornia = LightGlue(features=None, **model.config.architecture)
    kornia.load_state_dict(model.network.state_dict())
    kornia = kornia.eval().to(device)
    seconds: dict[object, list[float]] = defaultdict(list)
    memory: dict[object, float] = {}
    for number, images in enumerate(turns):
        query, *others = images
        some = others[::4]
        ways: dict[object, Callable[[], object]] = {}
        for dtype, engine in engines.items():
            own_way = partial(ours, LightGlueMatcher(config, [DeviceWorker(engine, 4 << 30, 65536)]), images)
            ways |= {("ours", dtype): own_way, ("kept", dtype): own_way}
        ways |= {"a": partial(pair_by_pair, kornia, query, some, device)}
        ways |= {"b": partial(one_batch, kornia, query, others, device)}
        taken = {}
        for way, run in ways.items():
            taken[way], memory[way] = timed_gpu(run, device)
        taken["a"] *= len(others) / len(some)
        work = sum(arithmetic(model.config, len(query), len(other)) for other in others)
        taken |= {("product", dtype): product_seconds(device, dtype, work, 8192) for dtype in dtypes}
        for way, value in taken.items():
            seconds[way] += [value] if number else []
    rate = {way: len(others) / statistics.median(values) for way, values in seconds.items()}
    for dtype in dtypes:
        own, kept = seconds["ours", dtype], seconds["kept", dtype]
        print(
            f"{name} {str(dtype).removeprefix('torch.'):9s} ours {rate['ours', dtype]:7.1f} pairs/s   kept "
            f"{rate['kept', dtype]:7.1f}   (a) {rate['a']:6.1f}   (b) {rate['b']:6.1f}   "
            f"ours/(a) {median_ratio(seconds['a'], own):5.2f}   ours/(b) {median_ratio(seconds['b'], own):5.2f}   "
            f"share of the matrix-product speed {median_ratio(seconds['product', dtype], own):.3f}, kept "
            f"{median_ratio(seconds['product', dtype], kept):.3f}   peak memory {memory['ours', dtype]:.2f} GB, (b) "
            f"{memory['b']:.2f}",
            flush=True,
        )


def ours(matcher: LightGlueMatcher, images: Sequence[LocalFeatures]) -> None:
    """From features to scores, the states of the images included."""
    by_key = {image.key: image for image in images}
    job = Job(images[0].key, tuple(image.key for image in images[1:]))
    list(matcher.match_jobs([job], lambda pair: False, by_key.__getitem__, 1))


def pair_by_pair(network: Any, query: LocalFeatures, others: Sequence[LocalFeatures], device: torch.device) -> None:
    """(a)"""
    with torch.inference_mode():
        left = batch_of([query], len(query), device)
        for other in others:
            len(network({"image0": left, "image1": batch_of([other], len(other), device)})["scores"][0])


def one_batch(network: Any, query: LocalFeatures, others: Sequence[LocalFeatures], device: torch.device) -> None:
    """(b), at most 128 pairs."""
    with torch.inference_mode():
        for start in range(0, len(others), 128):
            part = others[start : start + 128]
            left = batch_of([query] * len(part), len(query), device)
            right = batch_of(part, max(map(len, part)), device)
            [float(scores.sum()) for scores in network({"image0": left, "image1": right})["scores"]]


def batch_of(images: Sequence[LocalFeatures], longest: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Keypoints and descriptors, padded."""
    points = np.zeros((len(images), longest, 2), np.float32)
    descriptors = np.zeros((len(images), longest, images[0].descriptors.shape[1]), np.float32)
    for row, image in enumerate(images):
        points[row, : len(image)], descriptors[row, : len(image)] = image.keypoints_xy, image.descriptors
    size = torch.tensor([image.image_size_wh for image in images], dtype=torch.float32)
    parts = {"keypoints": torch.from_numpy(points), "descriptors": torch.from_numpy(descriptors), "image_size": size}
    return {name: part.to(device) for name, part in parts.items()}


def arithmetic(shape: LightGlueConfig, left: int, right: int) -> float:
    """Operations of the whole network on one pair: 38 n d^2 for an image and layer, 4 m n d for an attention."""
    width = shape.descriptor_dim
    linear = 38 * (left + right) * width**2
    return float(shape.n_layers * (linear + 4 * width * (left**2 + right**2 + 2 * left * right)))


def product_seconds(device: torch.device, dtype: torch.dtype, work: float, side: int) -> float:
    """How long as many operations take as one large matrix product, measured now."""
    if device.type == "cpu":
        side = min(side, 2048)
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    one @ other
    return seconds_of(lambda: one @ other, device) * work / (2 * side**3)


def timed_gpu(run: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds of one call, and the gigabytes of the device's memory that it took at most."""
    if device.type != "cuda":
        return seconds_of(run, device), 0.0
    torch.cuda.reset_peak_memory_stats()
    return seconds_of(run, device), torch.cuda.max_memory_allocated() / 1e9


def random_model() -> LightGlueModel:
    """The released shape, adaptive parts off: random heads have nothing to tell between the layers."""
    torch.manual_seed(0)
    shape = LightGlueConfig("aliked", 128, depth_confidence=-1, width_confidence=-1)
    network = LightGlue(features=None, **shape.architecture).eval().requires_grad_(False)
    return LightGlueModel(network, shape, "random", Path())


def random_images(shape: LightGlueConfig, count: int, pairs: int, ragged: bool, turn: int) -> list[LocalFeatures]:
    """A query and its candidates; `ragged`: between a quarter and all of the keypoints, other numbers in every turn."""
    rng = np.random.default_rng(turn)
    images = []
    for number in range(pairs + 1):
        own = count if not ragged or number == 0 else int(rng.integers(count // 4, count + 1))
        descriptors = rng.normal(size=(own, shape.input_dim)).astype(np.float32)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        images.append(features(f"{number:032x}", (rng.random((own, 2)) * SIZE_WH).astype(np.float32), descriptors))
    return images


def photographs(given: argparse.Namespace, count: int) -> list[LocalFeatures]:
    """XFeat of the first photographs in a folder."""
    import cv2

    extractor = XFeat()
    extractor.net.load_state_dict(load_file(given.xfeat))
    extractor = extractor.eval()
    images = []
    for number, path in enumerate(sorted(given.photographs.rglob("*.jpg"))[: given.pairs + 1]):
        pixels = cv2.cvtColor(cv2.resize(cv2.imread(str(path)), SIZE_WH), cv2.COLOR_BGR2RGB)
        with torch.inference_mode():
            image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            found = extractor.detectAndCompute(image, top_k=count)[0]
        images.append(features(f"{number:032x}", found["keypoints"].numpy(), found["descriptors"].numpy()))
    return images


def features(key: str, points: np.ndarray, descriptors: np.ndarray) -> LocalFeatures:
    """Features of one image; the kind follows from the length of a descriptor."""
    nothing = np.zeros(len(points), np.float32)
    extractor = "xfeat" if descriptors.shape[1] == 64 else "aliked-n16"
    return LocalFeatures(key, points, descriptors, nothing, nothing, SIZE_WH, extractor=extractor)


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keypoints", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--pairs", type=int, default=8, help="one query and so many candidates")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs a batch of ours; on a GPU alone")
    parser.add_argument("--without-cudnn", action="store_true", help="on a GPU: torch's own attention kernels alone")
    parser.add_argument("--grid", type=int, default=64, help="1: half precision on a CPU gets every shape as it comes")
    parser.add_argument("--weights", type=Path, help="real LighterGlue weights, for made-up images or for photographs")
    parser.add_argument("--xfeat", type=Path)
    parser.add_argument("--photographs", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
