"""Describing photographs: each once, in batches that an interruption does not move."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import make_tiny_data

from animalclef.config import DataConfig
from animalclef.data.decode import read_image
from animalclef.data.hashing import hash_images
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.features.extract import ExtractionJob, extract_features
from animalclef.runtime.progress import Silent
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import DecodedImage, ImageTable


class Means:
    """Describes an image by its mean and the means of the batch it came in."""

    decodes_fully = False

    def __init__(self, *, in_batches: bool, stop_after: int | None = None) -> None:
        self.in_batches, self.stop_after = in_batches, stop_after
        self.sizes: list[int] = []

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        if self.stop_after is not None and len(self.sizes) == self.stop_after:
            raise KeyboardInterrupt
        self.sizes.append(len(images))
        batch = np.array([image.pixels.mean() for image in images])
        return [{"mean": np.array([one, batch.sum()])} for one in batch]


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """Twenty photographs, the first of which is a text file."""
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",), individuals=5, gallery_images=3, unknown=0)
    first = load_table(find_source(data)).images.path[0]
    (data / first).write_text("not a photograph")
    return hash_images(load_table(find_source(data)).images, DataConfig(), 2, Silent())[0]


def run(images: ImageTable, extractor: Means, folder: Path) -> tuple[ShardStore, list[str]]:
    store, unreadable = ShardStore(folder / "means"), ShardStore(folder / "unreadable")
    aside = extract_features(images, [ExtractionJob(extractor, store)], unreadable, DataConfig(), 2, Silent(), chunk=6)
    return store, [item.image_id for item in aside]


def test_an_interruption_does_not_move_the_batches(images: ImageTable, tmp_path: Path) -> None:
    whole, aside = run(images, Means(in_batches=True), tmp_path / "whole")
    assert aside == ["0"]
    with pytest.raises(KeyboardInterrupt):
        run(images, Means(in_batches=True, stop_after=2), tmp_path / "cut")
    resumed = Means(in_batches=True)
    again, aside = run(images, resumed, tmp_path / "cut")
    assert resumed.sizes == [6, 2]
    assert aside == ["0"]
    for key in images.key[1:]:
        np.testing.assert_array_equal(again.get(key)["mean"], whole.get(key)["mean"])


def test_a_damaged_entry_is_made_again_in_its_batch_but_alone_where_batches_do_not_matter(
    images: ImageTable, tmp_path: Path
) -> None:
    for in_batches, sizes in ((True, [6]), (False, [1])):
        folder = tmp_path / str(in_batches)
        before, _ = run(images, Means(in_batches=in_batches), folder)
        key = str(images.key[8])
        expected = before.get(key)["mean"]
        path = next(path for path in (folder / "means").iterdir() if key.encode() in path.read_bytes())
        content = bytearray(path.read_bytes())
        place = content.find(expected.tobytes())
        content[place] ^= 1
        path.write_bytes(content)
        extractor = Means(in_batches=in_batches)
        after, _ = run(images, extractor, folder)
        assert extractor.sizes == sizes
        np.testing.assert_array_equal(after.get(key)["mean"][0], expected[0])


def test_a_second_run_decodes_nothing_not_even_what_is_broken(
    images: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(images, Means(in_batches=True), tmp_path)
    monkeypatch.setattr("animalclef.features.extract.read_image", None)
    extractor = Means(in_batches=True)
    assert run(images, extractor, tmp_path)[1] == ["0"]
    assert extractor.sizes == []


class Asking:
    """Has its images prepared by worker threads, like a network, while later photographs may not be decodable yet."""

    in_batches = True
    decodes_fully = False

    def __init__(self) -> None:
        self.began = threading.Event()

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        prepared = [pool.submit(image.pixels.mean) for image in images]
        entries: list[Entry] = [{"mean": np.array([one.result(timeout=10)])} for one in prepared]
        self.began.set()
        return entries


def test_a_network_is_not_kept_waiting_by_the_decoding_of_what_comes_next(
    images: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, decoded = Asking(), []

    def read(table: ImageTable, row: int, config: DataConfig) -> DecodedImage:
        decoded.append(images.row_of[table.image_id[row]])
        if decoded[-1] >= 6:  # of the second chunk: cannot end before the first one was prepared
            assert extractor.began.wait(timeout=10)
        return read_image(table, row, config)

    monkeypatch.setattr("animalclef.features.extract.read_image", read)
    store = ShardStore(tmp_path / "means")
    extract_features(
        images, [ExtractionJob(extractor, store)], ShardStore(tmp_path / "bad"), DataConfig(), 1, Silent(), chunk=6
    )
    assert len(store.verify(images.key)) == 1  # the text file
    assert 6 in decoded


def test_an_extractor_that_decodes_fully_gets_every_pixel(tmp_path: Path) -> None:
    class Sizes:
        in_batches = False

        def __init__(self, *, fully: bool) -> None:
            self.decodes_fully = fully

        def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
            return [{"size": np.array(image.pixels.shape[:2])} for image in images]

    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("image_id,path,identity\n1,a.png,Ada\n2,gone.png,Ada\n")
    config = DataConfig(decode_long_side=64, max_missing=1)
    images, _ = hash_images(load_table(find_source(tmp_path)).images, config, 1, Silent())
    stores = {fully: ShardStore(tmp_path / f"store-{fully}") for fully in (True, False)}
    jobs = [ExtractionJob(Sizes(fully=fully), store) for fully, store in stores.items()]
    assert extract_features(images, jobs, ShardStore(tmp_path / "bad"), config, 1, Silent()) == []
    assert stores[True].get(images.key[0])["size"].tolist() == [200, 300]
    assert stores[False].get(images.key[0])["size"].tolist() == [43, 64]
