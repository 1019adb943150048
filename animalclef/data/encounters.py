"""Find which gallery photographs belong to one event.

An encounter is what the `encounter` column says; else one individual on one day; else, without a day, near-duplicate
photographs of one individual, linked by the correlation of their thumbnails. Encounters keep gallery-against-gallery
work honest (training, calibration, validation); they never bar a query from a gallery photograph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from animalclef.config import EncounterConfig
from animalclef.data.dates import day_of
from animalclef.structures import FloatArray, ImageTable, StrArray
from animalclef.structures.arrays import Integers, Pixels

__all__ = ["Encounters", "events_of", "find_encounters", "linked_rows", "thumbnail"]


@dataclass(frozen=True, eq=False)
class Encounters:
    """The encounter of every gallery photograph, and the links that the content test made."""

    of: Mapping[str, str]  # image_id -> encounter
    links: tuple[tuple[str, str, float], ...]  # image_id, image_id, thumbnail correlation

    def hidden_from(
        self, queries: ImageTable, gallery: ImageTable, days: Mapping[str, int] | None = None
    ) -> tuple[dict[str, frozenset[str]], dict[str, int]]:
        """Return, for pseudo-queries, the ids of their own encounter and of exact copies, which they must not see, and
        how many further photographs of their individual there are. With `days` of a data set, the
        individual's photographs from so many days around are hidden too.
        """
        encounter: dict[str, set[str]] = defaultdict(set)
        copies: dict[str, set[str]] = defaultdict(set)
        individual: dict[tuple[str, str], set[str]] = defaultdict(set)
        rows = zip(gallery.image_id, gallery.dataset, gallery.identity, gallery.key, strict=True)
        for image_id, dataset, who, key in rows:
            encounter[self.of[image_id]].add(image_id)
            individual[dataset, who].add(image_id)
            copies[key].add(image_id)
        shown = zip(queries.image_id, queries.key, strict=True)
        hidden = {image_id: frozenset(encounter[self.of[image_id]] | copies[key]) for image_id, key in shown}
        dated = zip(gallery.image_id, map(day_of, gallery.date), strict=True) if any((days or {}).values()) else ()
        day = {image_id: when for image_id, when in dated if when is not None}
        others: dict[str, int] = {}
        for image_id, dataset, who in zip(queries.image_id, queries.dataset, queries.identity, strict=True):
            span, mine = (days or {}).get(dataset, 0), individual[dataset, who]
            if span and image_id in day:
                hidden[image_id] |= {one for one in mine & day.keys() if abs(day[one] - day[image_id]) <= span}
            others[image_id] = len(mine - hidden[image_id])
        return hidden, others


def thumbnail(pixels: Pixels) -> FloatArray:
    """Return the grey 32 x 32 thumbnail of an RGB image, mean 0 and length 1, as 1,024 values (0 for a flat image)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return np.asarray(small / length if length > 1e-3 else small * 0, dtype=np.float32)


def find_encounters(
    gallery: ImageTable,
    thumbnails: Mapping[str, FloatArray],
    config: EncounterConfig,
    same_background: Sequence[tuple[str, str, int]] = (),
) -> Encounters:
    """Return the encounter of every gallery photograph; `thumbnails` are by content key.

    `same_background` holds pairs of image_ids whose backgrounds match, with the verified matches. They join two
    photographs of one individual that have neither an encounter nor a date.
    """
    of: dict[str, str] = {}
    links: list[tuple[str, str, float]] = []
    undated: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, image_id in enumerate(gallery.image_id):
        who = f"{_safe(gallery.dataset[row])}/{_safe(gallery.identity[row])}"
        if gallery.encounter[row]:
            of[image_id] = f"{_safe(gallery.dataset[row])}/encounter/{gallery.encounter[row]}"
        elif day_of(gallery.date[row]) is not None:
            of[image_id] = f"{who}/date/{gallery.date[row][:10]}"
        else:
            undated[gallery.dataset[row], who].append(row)
    for (_, who), rows in undated.items():
        parts, found = _linked(gallery.image_id[rows], gallery.key[rows], thumbnails, config, same_background)
        of.update({image_id: f"{who}/group/{part}" for image_id, part in parts.items()})
        links += found
    return Encounters(of, tuple(links))


def events_of(table: ImageTable, encounter_of: Mapping[str, str]) -> Integers:
    """Return (n,) a number per event: photographs with one encounter, content or file, and so on in a chain.

    Raises:
        KeyError: a photograph has no encounter.
    """
    n = len(table)
    nodes: dict[tuple[str, str], int] = {}
    links: list[tuple[int, int]] = []
    for row, image_id in enumerate(table.image_id):
        shared = [("encounter", encounter_of[image_id]), ("path", table.path[row])]
        shared += [("key", table.key[row])] if table.key[row] else []
        links += [(row, n + nodes.setdefault(node, len(nodes))) for node in shared]
    event = linked_rows(n + len(nodes), links)
    return np.asarray(np.unique(event[:n], return_inverse=True)[1], dtype=np.int64)


def linked_rows(count: int, links: Iterable[tuple[int, int]]) -> Integers:
    """Return, (count,), the lowest row that each row is linked with, directly or in a chain.

    >>> linked_rows(5, [(1, 3), (3, 4)]).tolist()
    [0, 1, 2, 1, 1]
    """
    rows, others = np.array(list(links), dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows), dtype=bool), (rows, others)), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    _, first, part = np.unique(part, return_index=True, return_inverse=True)
    return np.asarray(first[part], dtype=np.int64)


def _safe(name: str) -> str:
    """Return a name in which a slash cannot be taken for the one between names."""
    return name.replace("%", "%25").replace("/", "%2F")


def _linked(
    image_id: StrArray,
    key: StrArray,
    thumbnails: Mapping[str, FloatArray],
    config: EncounterConfig,
    same_background: Sequence[tuple[str, str, int]],
) -> tuple[dict[str, int], list[tuple[str, str, float]]]:
    """Return connected components over pairs whose thumbnails correlate or whose backgrounds match.

    A component is named by its first photograph.
    """
    vectors = np.stack([thumbnails[one] for one in key])
    correlation = vectors @ vectors.T
    np.fill_diagonal(correlation, 0)
    first, second = np.nonzero(np.triu(correlation >= config.near_duplicate_correlation, 1))
    place = {str(one): number for number, one in enumerate(image_id)}
    joined = [(place[one], place[other]) for one, other, _ in same_background if one in place and other in place]
    part = linked_rows(len(image_id), [*zip(first.tolist(), second.tolist(), strict=True), *joined])
    links = [
        (str(image_id[a]), str(image_id[b]), round(float(correlation[a, b]), 4))
        for a, b in zip(first, second, strict=True)
    ]
    return dict(zip(image_id, part.tolist(), strict=True)), links
