"""Batches made on a device beside those made view by view."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from training_cases import tiny_recipe

from animalclef.runtime.progress import Silent
from animalclef.training.matcher.assignment import IGNORED, UNMATCHED
from animalclef.training.matcher.rendered_subjects import render_subjects
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import DeviceViews, PairSource, fits_on

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("with_scale", [False, True])
def test_a_batch_made_on_the_device_is_the_batch(device: str, with_scale: bool, tmp_path: Path) -> None:
    network = {"descriptor_dim": 8, "n_layers": 1, "add_scale_ori": with_scale}
    config = tiny_recipe(others=0.3, batch_size=24, network=network)
    render_subjects(tmp_path / "images", 24, seed=3)
    photos = find_photographs(tmp_path / "images")
    store, key_of, _ = fill_store(photos, tmp_path / "views", config, 2, Silent())
    source = PairSource(subjects_of(photos, key_of, store, 2, 8), store, config)
    keys = [key for subject in source.subjects for _, key in subject.views]
    views = DeviceViews(keys, store, config, torch.device(device))
    seen: Counter[int] = Counter()
    for number in range(4):
        expected, made = source.batch(number), views.collate(source.batch_draws(number))
        assert made.names == expected.names
        for side in (0, 1):
            assert torch.equal(made.descriptors[side].cpu(), expected.descriptors[side])
            assert torch.allclose(made.places[side].cpu(), expected.places[side], atol=1e-6)
            assert torch.equal(made.masks[side].cpu(), expected.masks[side])
            assert torch.equal(made.truth[side].cpu(), expected.truth[side])
            seen.update(expected.truth[side].clamp(max=0).ravel().tolist())
    assert min(seen[kind] for kind in (0, UNMATCHED, IGNORED)) > 100, "all three kinds take part"


def test_views_stay_on_a_gpu_only() -> None:
    assert not fits_on(torch.device("cpu"), 1, tiny_recipe())
