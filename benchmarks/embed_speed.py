"""Embedding photographs at MiewID's size: ours against the plain loop (Pillow, float32), on the same files.

python benchmarks/embed_speed.py [--images FOLDER] [--count 32] [--threads 1] [--rounds 3]
python benchmarks/embed_speed.py --device cuda [--batches 1 8 32 128] --threads 8

Weights are random unless given: batch norms know the photographs, and residual branches are weak. Speed does not depend
on them; cosines do, and those of a deep random network say little about a trained one.

On a GPU a first round warms up and is not counted, and the network alone follows: batches, precisions, and the share
of the speed of a large matrix product measured in the same round in the same precision (TF32 for float32, as cuDNN
convolves by default).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from device_timing import Product, median_ratio, seconds_of
from PIL import Image
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from animalclef.config import DataConfig, EmbedConfig
from animalclef.data.decode import read_image
from animalclef.data.hashing import hash_images
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.features.embedding.embedder_families import FAMILIES
from animalclef.features.embedding.embedder_registry import EMBEDDERS, find_embedder
from animalclef.features.embedding.preprocessing import RESIZERS, Preprocessing
from animalclef.features.embedding.principal_components import unit
from animalclef.features.embedding.timm_embedder import TimmExtractor, load_embedder
from animalclef.features.extract import ExtractionJob, extract_features
from animalclef.runtime.progress import Silent
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable


def main() -> None:
    """Print seconds per photograph, the ratios within each round, cosines, and where the time goes."""
    given = arguments()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        images = photographs(Path(folder) / "data", given.images, given.count)
        files = [images.root / path for path in images.path]
        config, way = settings(given, Path(folder), images)
        fast = load_embedder(config, given.device)
        plain, folded = load_as(config, "plain", given.device), load_as(config, "float32", given.device)
        own = str(fast.dtype).removeprefix("torch.")
        print(f"{len(images)} photographs, {way.size_wh[0]} px, {given.threads} thread(s), ours in {own}")
        methods: dict[str, Callable[[], np.ndarray]] = {
            "plain, one by one": lambda: plain_loop(files, plain.model, way, 1),
            "plain, 32 a batch": lambda: plain_loop(files, plain.model, way, 32),
            "ours, float32": lambda: ours(images, folded, given.threads),
            "ours": lambda: ours(images, fast, given.threads),
        }
        if given.device == "cpu":
            seconds, vectors = interleaved(methods, given.rounds)
            report(seconds, vectors)
            parts(images, fast)
            return
        half = load_as(config, "float16", given.device)
        methods["ours, float16"] = lambda: ours(images, half, given.threads)
        seconds, vectors = interleaved(methods, given.rounds + 1)
        report({name: runs[1:] for name, runs in seconds.items()}, vectors)
        parts(images, fast, time.perf_counter)
        network_alone(plain, [folded, fast, half], given)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder of .jpg files; default: made up, 1600 x 1200")
    parser.add_argument("--model", default="miewid-msv3")
    parser.add_argument("--weights", type=Path, help="default: random")
    parser.add_argument("--size", type=int)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 8, 32, 128], help="of the network alone, on a GPU"
    )
    return parser.parse_args()


def photographs(folder: Path, source: Path | None, count: int) -> ImageTable:
    """A table of `count` files, evenly taken from a folder or made up."""
    goal = folder / "database" / "one"
    goal.mkdir(parents=True)
    found = [] if source is None else sorted(source.rglob("*.jpg"))
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, count).astype(int)] if found else []
    for number, path in enumerate(chosen):
        (goal / f"{number:03d}.jpg").symlink_to(path.resolve())
    rng = np.random.default_rng(0)
    for number in range(0 if chosen else count):
        coarse, fine = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (9, 120))
        picture = sum(cv2.resize(one, (1600, 1200), interpolation=cv2.INTER_CUBIC) * 0.5 for one in (coarse, fine))
        cv2.imwrite(
            str(goal / f"{number:03d}.jpg"), np.asarray(picture).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92]
        )
    return hash_images(load_table(find_source(folder)).images, DataConfig(), 1, Silent())[0]


def settings(given: argparse.Namespace, folder: Path, images: ImageTable) -> tuple[EmbedConfig, Preprocessing]:
    """Weights, made up where none are given, and the preprocessing that all methods share."""
    weights, entry = given.weights, find_embedder(given.model)
    if weights is None:
        weights = folder / "random.safetensors"
        size = given.size or EMBEDDERS[given.model].size or 224
        way = Preprocessing((size, size), *(entry.mean_std or ((0.5,) * 3, (0.5,) * 3)), entry.resize)
        shown = [read_image(images, row, DataConfig()) for row in range(4)]
        batch = torch.from_numpy(np.stack([way.normalised(way.views(image)[0]) for image in shown]))
        save_file(made_up(entry.family, entry.backbone, batch.to(given.device)), weights)
    config = EmbedConfig(model=given.model, weights=str(weights), image_size=given.size, precision="auto")
    return config, load_as(config, "plain", "cpu").preprocessing


def made_up(family: str, backbone: str, batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Random weights with batch norms that know the photographs and weak residual branches."""
    torch.manual_seed(0)
    model = FAMILIES[family].build(backbone, {})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            is_branch_end = isinstance(getattr(module, "act", None), torch.nn.Identity)
            torch.nn.init.constant_(module.weight, 0.3 if is_branch_end else 1.0)
    with torch.no_grad():
        model.train().to(batch.device)(batch)
    return model.cpu().state_dict()


def load_as(config: EmbedConfig, precision: str, device: str) -> TimmExtractor:
    """The network in another number format."""
    return load_embedder(config.model_copy(update={"precision": precision}), device)


def plain_loop(files: list[Path], model: torch.nn.Module, way: Preprocessing, batch_size: int) -> np.ndarray:
    """As in the models' own examples: open, resize, normalise, one forward per batch."""
    vectors = []
    resize, device = RESIZERS[way.resize], next(model.parameters()).device
    with torch.no_grad():
        for start in range(0, len(files), batch_size):
            opened = [np.asarray(Image.open(path).convert("RGB")) for path in files[start:][:batch_size]]
            batch = torch.from_numpy(np.stack([way.normalised(resize(one, way.size_wh)) for one in opened]))
            vectors.append(unit(model(batch.to(device)).cpu().numpy()))
    return np.concatenate(vectors)


def ours(images: ImageTable, extractor: TimmExtractor, workers: int) -> np.ndarray:
    """What `predict` does with an embedder: decode ahead, describe, store."""
    with tempfile.TemporaryDirectory() as folder:
        store, unreadable = ShardStore(Path(folder) / "vectors"), ShardStore(Path(folder) / "unreadable")
        extract_features(images, [ExtractionJob(extractor, store)], unreadable, DataConfig(), workers, Silent())
        return np.stack([store.get(key)["embedding"] for key in images.key]).astype(np.float32)


def interleaved(
    methods: dict[str, Callable[[], np.ndarray]], rounds: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, np.ndarray]]:
    """Wall and processor seconds of every round, the methods in turn, and the vectors of the last."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    vectors = {}
    for _ in range(rounds):
        for name, work in methods.items():
            wall, processor = time.perf_counter(), time.process_time()
            vectors[name] = work()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return seconds, vectors


def report(seconds: dict[str, list[tuple[float, float]]], vectors: dict[str, np.ndarray]) -> None:
    """A line per method: medians, ratio to ours within the rounds, least cosine to the plain loop."""
    reference = vectors["plain, one by one"]
    for name, runs in seconds.items():
        wall, processor = (statistics.median(run[part] for run in runs) / len(reference) for part in (0, 1))
        ratios = [statistics.median(run[part] / own[part] for run, own in zip(runs, seconds["ours"], strict=True))
                  for part in (0, 1)]  # fmt: skip
        cosine = float((vectors[name] * reference).sum(1).min())
        print(f"{name:18s} {wall * 1e3:7.0f} ms wall {processor * 1e3:7.0f} ms processor a photograph; "
              f"ours is {ratios[0]:.2f} x (processor {ratios[1]:.2f} x); least cosine {cosine:.5f}")  # fmt: skip


def parts(images: ImageTable, extractor: TimmExtractor, clock: Callable[[], float] = time.process_time) -> None:
    """The shares of decoding, preparing and the network in the processor time of ours; a GPU needs the wall clock."""
    start = clock()
    decoded = [read_image(images, row, DataConfig()) for row in range(len(images))]
    decode = clock() - start
    start = clock()
    prepared = np.stack([extractor._prepare(image) for image in decoded])
    prepare = clock() - start
    start = clock()
    for first in range(0, len(prepared), extractor.config.batch_size):
        extractor._embed(prepared[first : first + extractor.config.batch_size])
    network = clock() - start
    total = decode + prepare + network
    print(f"ours, shares: decode {decode / total:.1%}, prepare {prepare / total:.1%}, network {network / total:.1%}")


def network_alone(plain: TimmExtractor, ours: list[TimmExtractor], given: argparse.Namespace) -> None:
    """Milliseconds a photograph of the network in batches: plain float32, and ours in every precision."""
    device, (width, height) = torch.device(given.device), plain.preprocessing.size_wh
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        plain.model(torch.zeros(1, 3, height, width, device=device))
    work = counter.get_total_flops()
    print(f"the network alone, {work / 1e9:.1f} billion operations a photograph")
    networks = {extractor.dtype or torch.float32: extractor.model for extractor in ours}
    products = {kind: Product(kind, device) for kind in networks}
    for count in given.batches:
        shown = torch.randn(count, 3, height, width, device=device)
        seconds: dict[str, list[float]] = {name: [] for name in ("plain", *map(str, networks))}
        peak: dict[torch.dtype, list[float]] = {kind: [] for kind in networks}
        for turn in range(given.rounds + 1):
            with torch.inference_mode():
                taken = {"plain": seconds_of(partial(plain.model, shown), device)}
                for kind, network in networks.items():
                    own = shown.to(kind).contiguous(memory_format=torch.channels_last)
                    taken[str(kind)] = seconds_of(partial(network, own), device)
                    product = products[kind]
                    peak[kind] += [seconds_of(product, device) / product.operations] if turn else []
            for name, each in taken.items():
                seconds[name] += [each] if turn else []
        for name, runs in seconds.items():
            beside = peak[torch.float32] if name == "plain" else peak[getattr(torch, name.removeprefix("torch."))]
            share = median_ratio(beside, runs) * work * count
            ratio = median_ratio(seconds["plain"], runs)
            print(
                f"batch {count:4d} {name.removeprefix('torch.'):9s} {statistics.median(runs) / count * 1e3:8.3f} ms a "
                f"photograph, {ratio:5.2f} times plain, share of the product's speed {share:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
