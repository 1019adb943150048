"""Train a segmenter on rendered animals and on photographs with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim
from torch.nn import functional

from animalclef.config import DataConfig, fingerprint
from animalclef.config.training import AveragingConfig, TrainSegmenterConfig
from animalclef.data.decode import read_image
from animalclef.data.hashing import photograph_keys
from animalclef.data.masks import Masks, read_mask
from animalclef.errors import DataError
from animalclef.prepare.u2net_segmenter import mask_from_map, network_input
from animalclef.prepare.u2netp import U2NetP, load_u2netp
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Progress, Silent
from animalclef.structures import ImageTable
from animalclef.synthetic import Animal, draw_visit, photograph, random_species
from animalclef.synthetic.photograph import box_around
from animalclef.training.fabric import lock_folder, open_fabric
from animalclef.training.training_loop import TrainingLoop
from animalclef.training.training_state import save_half
from animalclef.training.training_task import History, LoopSettings, Validation, warmup_then_cosine

__all__ = [
    "Example",
    "ExampleSource",
    "MaskBatch",
    "SegmenterTask",
    "TrainedSegmenter",
    "mask_loss",
    "overlap",
    "render_example",
    "train_segmenter",
]

_APART = 1_000_003  # added to the seed of what is held out
_RENDERED, _GIVEN, _CHOICE = 31, 32, 33  # of the seeds of generators
_LONG_SIDE = 640  # pixels, of given photographs
_MARGIN = 0.15  # of a box's sides: most that a close photograph shows around the animal


@dataclass(frozen=True, eq=False)
class Example:
    """One photograph and where its animal is."""

    name: str
    pixels: NDArray[np.uint8]  # (h, w, 3) RGB
    mask: NDArray[np.float32]  # (h, w) 0..1

    def __post_init__(self) -> None:
        if self.pixels.shape != (*self.mask.shape, 3):
            raise ValueError(f"Expected a mask of the photograph's size, got {self.mask.shape}, {self.pixels.shape}.")


@dataclass(frozen=True, eq=False)
class MaskBatch:
    """Photographs as the network takes them, and their masks."""

    names: tuple[str, ...]
    images: Tensor  # (b, 3, side, side), normalised
    masks: Tensor  # (b, 1, side, side), 0..1


class ExampleSource:
    """Draws examples by number; the same number gives the same example."""

    def __init__(
        self, config: TrainSegmenterConfig, seed: int, images: ImageTable | None = None, masks: Masks | None = None
    ) -> None:
        """Draw from rendered photographs, and from `images` where they are given (`masks` has a source for each)."""
        self.config, self.seed, self.images, self.masks = config, seed, images, masks

    def batch(self, number: int) -> MaskBatch:
        """Return the batch of this number, from 0."""
        first = number * self.config.batch_size
        return as_batch([self.example(first + place) for place in range(self.config.batch_size)], self.config.side)

    def example(self, number: int) -> Example:
        """Return the example of this number: given or rendered, mirrored or not, whole or cut to the animal."""
        rng = np.random.default_rng((self.seed, _CHOICE, number))
        example = None
        if self.images is not None and self.masks is not None and rng.random() < self.config.given:
            example = self._given(self.images, self.masks, number)
        example = example or render_example(self.seed, number)
        if rng.random() < 0.5:
            example = _part(example, np.s_[:, ::-1])
        close = rng.random() < self.config.close
        box = box_around(example.mask > 0.5, (0, _MARGIN), rng) if close else None
        return example if box is None else _part(example, box)

    def _given(self, images: ImageTable, masks: Masks, number: int) -> Example | None:
        """Return a photograph with its mask; `None` for a segmentation that has another shape."""
        row = int(np.random.default_rng((self.seed, _GIVEN, number)).integers(len(images)))
        image = read_image(images, row, DataConfig(decode_long_side=_LONG_SIDE))
        size_wh = (image.pixels.shape[1], image.pixels.shape[0])
        mask = read_mask(images, row, str(masks.source[row]), size_wh)
        if mask is None:
            return None
        full = cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
        return Example(str(images.path[row]), image.pixels, full)


def render_example(seed: int, number: int) -> Example:
    """Render one animal of a random species in a random place; its mask is exact."""
    rng = np.random.default_rng((seed, _RENDERED, number))
    species = random_species(rng)
    visit = draw_visit(species, (seed, number, 0), "2020-01-01", rng)
    side = species.sides[rng.integers(len(species.sides))]
    made = photograph(Animal(species, (seed, number, 1)), visit, side, rng)
    return Example(f"rendered {number}", made.pixels, made.mask.astype(np.float32) / np.float32(255))


def as_batch(examples: Sequence[Example], side: int) -> MaskBatch:
    """Return examples as the network takes them."""
    images = np.stack([network_input(one.pixels, side) for one in examples])
    masks = np.stack([cv2.resize(one.mask, (side, side), interpolation=cv2.INTER_AREA) for one in examples])
    names = tuple(one.name for one in examples)
    return MaskBatch(names, torch.from_numpy(images), torch.from_numpy(masks[:, None]))


def _part(example: Example, at: tuple[slice, slice]) -> Example:
    return Example(example.name, np.ascontiguousarray(example.pixels[at]), np.ascontiguousarray(example.mask[at]))


class SegmenterTask:
    """U2-Net-P and its photographs with masks."""

    def __init__(
        self, config: TrainSegmenterConfig, start: U2NetP, source: ExampleSource, held: ExampleSource, fabric: Any
    ) -> None:
        """Begin with the weights of `start`; without `config.fine` its last decoder block is left out."""
        torch.manual_seed(config.seed)
        self.config, self.start, self.source, self.held, self.fabric = config, start, source, held, fabric
        network = deepcopy(start) if config.fine or not start.fine else start.without_fine()
        self.model: nn.Module = network.to(fabric.device)
        self.network: nn.Module = self.model
        self._all_maps = network.all_maps
        self.optimiser: optim.Optimizer = optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=0.0, foreach=False
        )
        self.settings = LoopSettings(
            name=config.name, seed=config.seed, steps=config.steps, averaging=AveragingConfig(decay=config.ema),
            validate_every=config.validate_every, checkpoint_every=config.checkpoint_every, clip=config.clip,
        )  # fmt: skip
        self._kept: list[Example] = []

    def batch(self, number: int) -> MaskBatch:
        """Return the batch of this number, from 0."""
        return self.source.batch(number)

    def names(self, batch: MaskBatch) -> Sequence[str]:
        """Return the names of the photographs of a batch."""
        return batch.names

    def losses(self, batch: MaskBatch) -> Tensor:
        """Return the loss of every photograph (b,)."""
        images = batch.images.to(self.fabric.device).contiguous(memory_format=torch.channels_last)
        maps = self._all_maps(images)
        return mask_loss(maps, batch.masks.to(self.fabric.device), self.config.side_weight)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0: a linear warm-up, then half a cosine down to 0."""
        return self.config.learning_rate * warmup_then_cosine(step, self.config.steps, 0, self.config.warmup_steps)

    def set_mode(self, *, frozen: bool) -> None:
        """Put the network into training mode."""
        self.model.train()

    def validate(self, network: nn.Module) -> Validation:
        """Measure the masks of the held-out photographs; the weights of the last step are kept."""
        row = {"mean_iou": self._measure(network)}
        return Validation(row, row)

    def finish(self, network: nn.Module, history: History, path: Path) -> Mapping[str, Any]:
        """Write the network in half precision; return its mean IoU with the true masks, and that of the start."""
        about = {"fine": self.config.fine, "steps": self.config.steps, "seed": self.config.seed}
        save_half(path, network.state_dict(), u2netp=about)
        self.start.to(self.fabric.device)
        return {
            "start": {"mean_iou": self._measure(self.start.eval())},
            "network": {"mean_iou": self._measure(network)},
        }

    def _measure(self, network: nn.Module) -> float:
        if not self._kept:
            self._kept = [self.held.example(number) for number in range(self.config.held_out)]
        found = []
        for one in self._kept:
            batch = as_batch([one], self.config.side)
            with torch.inference_mode():
                values = torch.sigmoid(network(batch.images.to(self.fabric.device)).float())[0, 0].cpu().numpy()
            mask = mask_from_map(values, (one.mask.shape[1], one.mask.shape[0]))
            found.append(overlap(mask, one.mask > 0.5))
        return round(float(np.mean(found)), 4)


def mask_loss(maps: Sequence[Tensor], masks: Tensor, side_weight: float) -> Tensor:
    """Return the loss of every photograph (b,): cross-entropy of the fused logits, and of the sides' mean.

    `maps` holds the fused logits first, then the sides', each (b, 1, h, w); `masks` (b, 1, H, W) are 0..1.
    """
    small = functional.interpolate(masks, maps[0].shape[-2:], mode="area")
    each = [functional.binary_cross_entropy_with_logits(one, small, reduction="none").mean((1, 2, 3)) for one in maps]
    return each[0] + side_weight * torch.stack(each[1:]).mean(0)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two masks; 1 where both are empty."""
    union = int((one | other).sum())
    return float((one & other).sum() / union) if union else 1.0


@dataclass(frozen=True)
class TrainedSegmenter:
    """The outcome of a training."""

    path: Path  # the network
    measured: dict[str, Any]  # mean IoU with the true masks of held-out photographs: `start` and `network`
    is_first: bool = True  # False in the further processes of a training


def train_segmenter(
    config: TrainSegmenterConfig,
    start: Path,
    out: Path,
    *,
    images: ImageTable | None = None,
    masks: Masks | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainedSegmenter:
    """Train from the weights of `start`, or resume from the checkpoint in `out`.

    Photographs of `images` are used where `masks` has a mask; a tenth of them, at least one, is held out for
    validation beside rendered ones. The result depends on the recipe, the photographs, their masks, the number of
    processes and the machine.

    Raises:
        DataError: `images` has fewer than two photographs with masks.
        WeightsError: `start` is not a file with weights of U2-Net-P.
        OutputError: a file of `out` would be replaced that is the start, or that no training wrote.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss became something that is not a number.
    """
    fabric = open_fabric(config.precision, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    network = load_u2netp(start)
    parts: list[tuple[ImageTable | None, Masks | None]] = [(None, None), (None, None)]
    used: list[str] = []
    if images is not None:
        if masks is None or int((masks.source != "").sum()) < 2:
            raise DataError("Training needs two photographs with masks or more. Give masks with --masks, or no --data.")
        rows = np.flatnonzero(masks.source != "")
        held = np.arange(len(rows)) % 10 == 0
        parts = [(images.select(chosen), masks.select(chosen)) for chosen in (rows[~held], rows[held])]
        keys = photograph_keys(images.select(rows), workers)
        used = [
            f"{images.path[row]} {key} {masks.digest[row]} {images.bbox_xywhr[row].tolist()}"
            for row, key in zip(rows, keys, strict=True)
        ]
    with lock_folder(out, fabric.global_rank):
        fabric.launch()
        source = ExampleSource(config, config.seed, *parts[0])
        task = SegmenterTask(config, network, source, ExampleSource(config, config.seed + _APART, *parts[1]), fabric)
        settings = config.digested(exclude={"name", "checkpoint_every"})
        recipe = fingerprint(2, settings, file_digest(start), used, fabric.world_size)
        loop = TrainingLoop(task, out, recipe, fabric, start=start, progress=progress, workers=workers)
        measured = loop.run(overwrite=overwrite)
        return TrainedSegmenter(loop.network_path, measured, fabric.global_rank == 0)
