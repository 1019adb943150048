"""A catalogue of 10,000 individuals and 100,000 photographs: time to add 100 more, and to say who is on one.

    python benchmarks/catalogue_scale.py --out DIR [--individuals 10000] [--each 10] [--added 100]

The first season is drawn (30 individuals, 3 photographs each) and tunes the decision. The others have made-up
features, written into the catalogue's stores: random unit vectors, and random keypoints; their files do not exist. The
embedder is a small network with random weights, so no figure here says anything about accuracy. Told are seconds of the
clock and of the processor; those of `add` hold the features of the new photographs themselves.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.recogniser import Machine, Recogniser
from animalclef.catalogue.seasons import add_season, create_catalogue, write_season
from animalclef.config import load_config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.runtime.atomic_files import write_csv
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable

DATASET = "birds"  # every season's data set
SHARD = 2_000  # made-up photographs in one file
SETTINGS = (
    "embed.model=timm:test_vit", "retrieve.sources=[embedding]", "retrieve.top_k=20", "prepare.mode=whole",
    "keypoints.max_keypoints=32", "keypoints.long_side=128", "decide.trials=4", "decide.splits=2", "decide.folds=2",
    "decide.pseudo_queries=30", "decide.fusions=[weighted]",
)  # fmt: skip


def main() -> None:
    """Build the catalogue, then add and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--individuals", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--added", type=int, default=100)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    config = load_config(None, [*SETTINGS, f"embed.weights={random_weights(given.out)}"])
    draw(given.out / "first", {f"first_{one}": 3 for one in range(30)}, named=True)
    draw(given.out / "next", {f"next_{one}": 1 for one in range(given.added)}, named=False)
    draw(given.out / "again", {f"again_{one}": 1 for one in range(given.added)}, named=False)
    machine, folder = Machine("cpu", workers=2), given.out / "catalogue"
    loaded = load_table(find_source(given.out / "first"))
    catalogue, _ = create_catalogue(folder, loaded, config, "bench", "", machine)
    rng = np.random.default_rng(0)
    timed("writing the made-up features", lambda: fill(folder / "run", given.individuals * given.each, rng))
    timed("writing the made-up season", lambda: grow(catalogue, given.individuals, given.each))
    for name in ("next", "again"):
        more = load_table(find_source(given.out / name))
        told = timed(f"add {given.added} photographs ({name})", lambda more=more: add_season(
            Catalogue(folder), more, "bench", "", machine))  # fmt: skip
        print(f"  {told.recognised} recognised, {told.new} new")
    recogniser = Recogniser(Catalogue(folder), machine)
    photographs = sorted((given.out / "first").rglob("*.jpg"))[:6]
    for number, photograph in enumerate(photographs):
        timed(f"who ({'cold' if number == 0 else 'warm'})", lambda photograph=photograph: recogniser.who(photograph))
    timed("history", Catalogue(folder).history)
    timed("merge", lambda: Catalogue(folder).merge("made_0", "made_1", "bench", ""))
    print(f"catalogue.db: {(folder / 'catalogue.db').stat().st_size / 1e6:.0f} MB")


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Run it and print its seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    done = work()
    print(f"{what}: {time.perf_counter() - clock:.2f} s, {time.process_time() - processor:.2f} s of a core", flush=True)
    return done


def random_weights(out: Path) -> Path:
    """Write random weights of the small network."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    out.mkdir(parents=True)
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), out / "test_vit.safetensors")
    return out / "test_vit.safetensors"


def draw(folder: Path, animals: dict[str, int], *, named: bool) -> None:
    """Draw blotches, one pattern an animal, and their table."""
    rows = []
    for name, count in animals.items():
        rng = np.random.default_rng([ord(one) for one in name])
        coat = cv2.GaussianBlur(rng.normal(size=(128, 160)), (0, 0), 5)
        for number in range(count):
            picture = 120 + 60 * np.sign(coat) + rng.normal(0, 6, coat.shape)
            place = folder / "photographs"
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f"{name}_{number}.jpg"), np.clip(picture, 0, 255).astype(np.uint8))
            rows.append((f"{name}_{number}", f"{place.name}/{name}_{number}.jpg", name if named else "", DATASET))
    write_csv(folder / "metadata.csv", ("image_id", "path", "identity", "dataset"), rows)


def fill(run: Path, count: int, rng: np.random.Generator) -> None:
    """Write made-up entries of the kind that lies in each store of the first season."""
    for kind in ("embeddings", "keypoints", "thumbnails"):
        for folder in sorted((run / kind).iterdir()):
            made_by = folder.name if kind == "keypoints" else ""
            store = ShardStore(folder, made_by)
            first = store.get(next(iter(store._places)))
            for start in range(0, count, SHARD):
                some = range(start, min(start + SHARD, count))
                store.put(
                    {key(one): {name: made_up(name, array, rng) for name, array in first.items()} for one in some}
                )


def made_up(name: str, like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an array as the given one, with other content where it describes the photograph."""
    if name in ("embedding", "thumbnail"):
        values = rng.normal(size=like.shape)
        return (values / np.linalg.norm(values)).astype(like.dtype)
    if name == "descriptors":
        return rng.integers(0, 128, like.shape).astype(like.dtype)
    if name == "keypoints_xy":
        return rng.uniform(0, 120, like.shape).astype(like.dtype)
    return like


def key(number: int) -> str:
    """The content key of a made-up photograph."""
    return f"{number + 1:016x}{number + 1:016x}"


def grow(catalogue: Catalogue, individuals: int, each: int) -> None:
    """Write the made-up photographs as a season, all named."""
    n = individuals * each
    texts = {name: texts_of(n, lambda _: "") for name in ("date", "viewpoint", "species", "encounter")}
    images = ImageTable(
        root=catalogue.folder, image_id=texts_of(n, lambda one: f"2/{one}"), key=texts_of(n, key),
        path=texts_of(n, lambda one: f"photographs/2/{one}.jpg"), is_query=np.zeros(n, dtype=bool),
        dataset=texts_of(n, lambda _: DATASET),
        identity=texts_of(n, lambda one: f"made_{one // each}"),
        bbox_xywhr=np.full((n, 5), np.nan, np.float32), **texts,
    )  # fmt: skip
    write_season(catalogue, catalogue.folder, 2, images, {}, None, ("bench", ""), {})


def texts_of(n: int, of: Callable[[int], str]) -> np.ndarray:
    """An array of n strings."""
    array = np.empty(n, dtype=object)
    array[:] = [of(one) for one in range(n)]
    return array


if __name__ == "__main__":
    main()
