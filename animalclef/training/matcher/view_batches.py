"""Draw pairs of views and batches of them; a batch depends on the seed and its number alone.

On a GPU all views and the truth of a batch are kept and made there: on a CPU a batch of 64 pairs takes longer to make
than a GPU takes to learn from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from animalclef.config.training import TrainMatcherConfig
from animalclef.errors import DataError
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.store.shard_store import ShardStore
from animalclef.training.matcher.assignment import (
    IGNORED,
    Surface,
    Truth,
    surface_values,
    true_assignment,
    true_assignments,
)
from animalclef.training.matcher.lightglue_training import Batch
from animalclef.training.matcher.photograph_views import LONG_SIDE_PX, View
from animalclef.training.matcher.training_folder import Subject

__all__ = ["DeviceViews", "Draw", "Pair", "PairSource", "collate", "fits_on", "held_out"]

_KEPT = 0.75
"""Share of the strongest keypoints that is drawn, as another photograph lacks some of them."""
_VALUES = 11  # numbers of a keypoint beside its descriptor
_SHARE = 0.5  # of the device's free memory that views may take


@dataclass(frozen=True, eq=False)
class Draw:
    """Which two views are a pair, and which of their keypoints."""

    keys: tuple[str, str]  # of the store
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]  # keypoints of each view, ascending
    photos: tuple[str, str]
    same_subject: bool

    @property
    def name(self) -> str:
        """Return what a message calls the pair."""
        return f"{self.photos[0]} and {self.photos[1]}"

    @property
    def same_photo(self) -> bool:
        """Return whether both are views of one photograph."""
        return self.photos[0] == self.photos[1]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two views and the truth about them."""

    first: View
    second: View
    truth: Truth
    name: str
    same_subject: bool
    same_photo: bool


def held_out(subjects: Sequence[Subject], share: float, seed: int) -> tuple[list[Subject], list[Subject]]:
    """Split subjects into those to train on, and those of about `share` of the groups, at least one, to validate on.

    Raises:
        DataError: there are not two groups.
    """
    groups = sorted({subject.group for subject in subjects})
    if len(groups) < 2:
        raise DataError(
            f"{len(groups)} subjects with two usable views in different groups; training needs two or more, one to be "
            "held out. Give more photographs, or ones with more texture."
        )
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    order = np.random.default_rng((seed, 11)).permutation(len(groups))
    apart = {groups[place] for place in order[:count]}
    trained = [subject for subject in subjects if subject.group not in apart]
    return trained, [subject for subject in subjects if subject.group in apart]


class PairSource:
    """Draw pairs of views."""

    def __init__(self, subjects: Sequence[Subject], store: ShardStore, config: TrainMatcherConfig) -> None:
        self.subjects, self.store, self.config = subjects, store, config
        self._lengths: dict[str, int] = {}
        self._group: dict[str, list[int]] = defaultdict(list)
        for place, subject in enumerate(subjects):
            self._group[subject.group].append(place)

    def pairs(self, count: int, *numbers: int, points: int | None = None) -> list[Pair]:
        """Return `count` pairs that depend on the seed and the numbers; at most `points` keypoints of each view."""
        return [self._pair(draw) for draw in self.draws(count, *numbers, points=points)]

    def draws(self, count: int, *numbers: int, points: int | None = None) -> list[Draw]:
        """Return which views and keypoints the pairs of these numbers consist of."""
        rng = np.random.default_rng((self.config.seed, *numbers))
        return [self._draw(rng, points) for _ in range(count)]

    def batch(self, *numbers: int) -> Batch:
        """Return a batch of the recipe's size."""
        return collate(self.pairs(self.config.batch_size, *numbers, points=self.config.points), self.config)

    def batch_draws(self, *numbers: int) -> list[Draw]:
        """Return what the batch of these numbers consists of, for `DeviceViews`."""
        return self.draws(self.config.batch_size, *numbers, points=self.config.points)

    def _draw(self, rng: np.random.Generator, points: int | None) -> Draw:
        place = int(rng.integers(len(self.subjects)))
        mine = self.subjects[place]
        others = self._others(place) if rng.random() < self.config.others else []
        if others:
            theirs = self.subjects[others[rng.integers(len(others))]]
            one, other = (subject.views[rng.integers(len(subject.views))] for subject in (mine, theirs))
        else:
            one, other = (mine.views[int(view)] for view in rng.choice(len(mine.views), 2, replace=False))
        rows = [_thinned(self._length(key), points, rng) for _, key in (one, other)]
        return Draw((one[1], other[1]), (rows[0], rows[1]), (one[0], other[0]), not others)

    def _length(self, key: str) -> int:
        if key not in self._lengths:
            self._lengths[key] = len(self.store.get(key)["keypoints_xy"])
        return self._lengths[key]

    def _pair(self, draw: Draw) -> Pair:
        first, second = (
            View.of(self.store.get(key)).select(rows) for key, rows in zip(draw.keys, draw.rows, strict=True)
        )
        same = draw.same_subject
        truth = true_assignment(first, second, self.config.loss, same_subject=same, same_photo=draw.same_photo)
        return Pair(first, second, truth, draw.name, same, draw.same_photo)

    def _others(self, place: int) -> list[int]:
        """Return subjects of the same group, or of any group where it is the only one of its own."""
        mates = [one for one in self._group[self.subjects[place].group] if one != place]
        return mates or [one for one in range(len(self.subjects)) if one != place]


def _thinned(length: int, points: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random part of the strongest of so many keypoints, ascending."""
    if points is None or length == 0:
        return np.arange(length)
    pool = min(length, round(points / _KEPT))
    kept = min(points, max(1, round(pool * _KEPT)))
    return np.sort(rng.choice(pool, kept, replace=False))


def collate(pairs: Sequence[Pair], config: TrainMatcherConfig) -> Batch:
    """Stack pairs into a batch, the shorter ones padded."""
    with_scale = config.network.add_scale_ori
    sides = []
    for views, partners in (
        ([pair.first for pair in pairs], [pair.truth.first for pair in pairs]),
        ([pair.second for pair in pairs], [pair.truth.second for pair in pairs]),
    ):
        most = max(1, *(len(view) for view in views))
        descriptors = np.zeros((len(views), most, config.keypoints.feature.dimensions), dtype=np.float32)
        places = np.zeros((len(views), most, 4 if with_scale else 2), dtype=np.float32)
        mask = np.zeros((len(views), most), dtype=bool)
        truth = np.full((len(views), most), IGNORED, dtype=np.int64)
        for row, (view, partner) in enumerate(zip(views, partners, strict=True)):
            descriptors[row, : len(view)] = root_sift(view.descriptors)
            places[row, : len(view)] = _kornia_places(view, with_scale=with_scale)
            mask[row, : len(view)] = True
            truth[row, : len(view)] = partner
        mask[:, 0] |= ~mask.any(axis=1)  # an empty view keeps one padded point, as a softmax needs one
        sides.append([torch.from_numpy(array) for array in (descriptors, places, mask, truth)])
    together = [(first, second) for first, second in zip(*sides, strict=True)]
    return Batch(together[0], together[1], together[2], together[3], tuple(pair.name for pair in pairs))


def _kornia_places(view: View, *, with_scale: bool) -> NDArray[np.float32]:
    """Return keypoints as kornia normalises them: 0 in the middle, 1 at the end of the longer side.

    A scale is in pixels of a long side of 512, an orientation in [0, 2 pi).
    """
    size = view.size_wh.astype(np.float32)
    places = (view.keypoints_xy - size / 2) / (size.max() / 2)
    if with_scale:
        turn = np.mod(view.orientation_rad, 2 * np.pi)
        places = np.column_stack([places, view.scale * (LONG_SIDE_PX / size.max()), turn])
    return np.asarray(places, dtype=np.float32)


def fits_on(device: torch.device, views: int, config: TrainMatcherConfig) -> bool:
    """Return whether so many views fit into half of a GPU's free memory; False on anything but a GPU."""
    if device.type != "cuda":
        return False
    each = config.keypoints.sizes[1] * (2 * config.keypoints.feature.dimensions + 4 * _VALUES)
    return views * each <= _SHARE * torch.cuda.mem_get_info(device)[0]


class DeviceViews:
    """All views of a store on one device."""

    def __init__(
        self, keys: Iterable[str], store: ShardStore, config: TrainMatcherConfig, device: torch.device
    ) -> None:
        """Copy the views of `keys` to the device, padded to the longest; half precision holds RootSIFT exactly."""
        self.config, self.device = config, device
        views = {key: View.of(store.get(key)) for key in sorted(set(keys))}
        self._place = {key: place for place, key in enumerate(views)}
        shape = len(views), max(len(view) for view in views.values())
        descriptors = np.zeros((*shape, config.keypoints.feature.dimensions), dtype=np.float16)
        values = np.zeros((*shape, _VALUES), dtype=np.float32)
        for place, view in enumerate(views.values()):
            descriptors[place, : len(view)] = root_sift(view.descriptors)
            values[place, : len(view), :4] = _kornia_places(view, with_scale=True)
            values[place, : len(view), 4:] = surface_values(view)
        self._descriptors = torch.from_numpy(descriptors).to(device)
        self._values = torch.from_numpy(values).to(device)

    def collate(self, draws: Sequence[Draw]) -> Batch:
        """Return the batch on the device, the shorter views padded; the same as `collate` makes of its pairs."""
        width = 4 if self.config.network.add_scale_ori else 2
        descriptors, places, surfaces = [], [], []
        for side in (0, 1):
            views, rows, mask = self._drawn(draws, side)
            values = self._values[views, rows]
            descriptors.append(self._descriptors[views, rows].float() * mask[..., None])
            places.append(values[..., :width] * mask[..., None])
            surfaces.append(Surface(values[..., 4:], mask))
        first, second = surfaces
        same_subject = torch.tensor([draw.same_subject for draw in draws], device=self.device)
        same_photo = torch.tensor([draw.same_photo for draw in draws], device=self.device)
        of_first, of_second, _ = true_assignments(first, second, self.config.loss, same_subject, same_photo)
        return Batch(
            (descriptors[0], descriptors[1]), (places[0], places[1]), (first.mask, second.mask),
            (of_first, of_second), tuple(draw.name for draw in draws),
        )  # fmt: skip

    def _drawn(self, draws: Sequence[Draw], side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the view of each pair (b, 1), the rows of its keypoints (b, m), and which of them are no padding."""
        chosen = [draw.rows[side] for draw in draws]
        rows = np.zeros((len(chosen), max(1, *(len(one) for one in chosen))), dtype=np.int64)
        mask = np.zeros(rows.shape, dtype=bool)
        for number, one in enumerate(chosen):
            rows[number, : len(one)], mask[number, : len(one)] = one, True
        mask[:, 0] |= ~mask.any(axis=1)
        views = torch.tensor([self._place[draw.keys[side]] for draw in draws], device=self.device)[:, None]
        return views, torch.from_numpy(rows).to(self.device), torch.from_numpy(mask).to(self.device)
