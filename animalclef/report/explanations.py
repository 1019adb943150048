"""Explain the embedding of a run: find the regions that it matched in a pair of photographs."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from animalclef.errors import ConfigError, WeightsError
from animalclef.explain.pairx import Agreement, agreement_of_vlad, heat_of
from animalclef.explain.pairx_network import agreement_of_network
from animalclef.features.embedding.embedder import Embedder, load_network
from animalclef.features.embedding.timm_embedder import TimmExtractor
from animalclef.features.embedding.vlad import Codebook
from animalclef.report.thumbnails import data_address, read_photograph
from animalclef.store.finished_run import FinishedRun
from animalclef.store.shard_store import ShardStore
from animalclef.structures import FloatArray
from animalclef.structures.arrays import Pixels

__all__ = ["Explanations", "cosine_text", "draw_agreement", "overlay_of", "packed_agreement"]

logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]  # left, top, width and height in pixels
_RAMP = np.array([(88, 16, 110), (222, 73, 55), (252, 205, 60)], dtype=np.float64)  # little to much
_COVERS = 0.72  # the most that a photograph is covered
_LINE = (255, 255, 255)


class Explanations:
    """Explain pairs with the embedder of a run, on the CPU; without its weights there is one warning and no result.

    Raises:
        ConfigError: the embedder has no layers, but one is named.
    """

    def __init__(self, run: FinishedRun, layer: str | None = None, weights: Path | None = None) -> None:
        self._run, self._layer = run, layer
        self._network: TimmExtractor | None = None
        self._codebook = cache(self._found_codebook)
        self.are_there = True
        if layer is not None and run.config.embed.model == "rootsift-vlad":
            raise ConfigError(f"--layer {layer}: the weight-free embedding has no layers. Leave --layer out.")
        try:
            # Compiled or mixed-precision networks hide their layers.
            plain = run.config.embed.model_copy(update={"precision": "plain", "compile": False})
            self._network = load_network(run.config.model_copy(update={"embed": plain}), "cpu", weights)
        except WeightsError as error:
            logger.warning("The embedding cannot be explained: %s", error)
            self.are_there = False

    def of(self, query_id: str, gallery_id: str) -> Agreement | None:
        """Return the regions matched in two photographs, or `None` if one is missing or the run keeps no embedder.

        Raises:
            ConfigError: the network has no such layer.
        """
        if not self.are_there:
            return None
        long_side = self._run.config.data.decode_long_side  # as the run decoded them
        query, gallery = (read_photograph(self._run, one, long_side) for one in (query_id, gallery_id))
        if query is None or gallery is None:
            return None
        if self._network is not None:
            return agreement_of_network(self._network, query, gallery, self._layer)
        codebook = self._codebook(str(self._run.images.dataset[self._run.row_of[query_id]]))
        return None if codebook is None else agreement_of_vlad(query, gallery, codebook, self._run.config.embed)

    def _found_codebook(self, dataset: str) -> Codebook | None:
        """Return the codebook that the run fitted on the gallery of a data set; warn where it is gone."""
        codebook = _stored_codebook(self._run, dataset)
        if codebook is None:
            sentence = "The embedding cannot be explained: %s keeps no codebook of %s that fits its settings."
            logger.warning(sentence, self._run.path, dataset)
        return codebook


def _stored_codebook(run: FinishedRun, dataset: str) -> Codebook | None:
    """Find the codebook by the run's settings, or by its photographs if the table lacks part of the gallery now."""
    images, folder = run.images, run.folder.home / "embeddings"
    usable = np.array([bool(key) for key in images.key], dtype=bool) & (images.dataset == dataset)
    gallery = images.select(usable).gallery
    name = Embedder(dataset, gallery, run.config, None).fingerprint
    if not (folder / f"{name}-codebook").is_dir():
        stores = [ShardStore(Path(str(path).removesuffix("-codebook"))) for path in sorted(folder.glob("*-codebook"))]
        held = min(stores, key=lambda one: len(one.missing(gallery.key)), default=None)
        name = "" if held is None or len(held.missing(gallery.key)) else held.folder.name
    store = ShardStore(folder / f"{name}-codebook")
    if "codebook" not in store:
        return None
    codebook = Codebook(**{part: array.astype(np.float32) for part, array in store.get("codebook").items()})
    return codebook if codebook.basis.shape[1] == run.config.embed.local_dimensions else None


def draw_agreement(canvas: Pixels, first: Box, second: Box, agreed: Agreement) -> Pixels:
    """Draw both maps and the matched places over a copy of two photographs faded to grey."""
    drawn = canvas.copy()
    for cells, (left, top, width, height) in ((agreed.query_map, first), (agreed.gallery_map, second)):
        x, y, w, h = round(left), round(top), round(width), round(height)
        colours = _coloured(heat_of(cells, (w, h)))
        part = drawn[y : y + h, x : x + w]
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)[:, :, None]
        cover = colours[:, :, 3:].astype(np.float64) / 255
        part[:] = np.round(grey * (1 - cover) + colours[:, :, :3] * cover)
    inked = drawn.copy()
    for start, end in zip(agreed.query_xy, agreed.gallery_xy, strict=True):
        _join(inked, _placed(start, first), _placed(end, second))
    return np.asarray(cv2.addWeighted(inked, 0.75, drawn, 0.25, 0), dtype=np.uint8)


def overlay_of(cells: FloatArray, long_side: int = 96) -> bytes:
    """Return a map as a PNG with transparency, to be stretched over the photograph."""
    scale = long_side / max(cells.shape)
    size_wh = max(1, round(cells.shape[1] * scale)), max(1, round(cells.shape[0] * scale))
    inked = _coloured(heat_of(cells, size_wh))
    return cv2.imencode(".png", inked[:, :, [2, 1, 0, 3]], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def cosine_text(agreed: Agreement) -> str:
    """Return the cosine similarity as text."""
    return f"cosine {agreed.cosine:.2f}" + (f" {agreed.note}" if agreed.note else "")


def packed_agreement(agreed: Agreement) -> Any:
    """Return the report's data: the cosine, two overlays, and five numbers for each pair of matched places.

    These are x and y in the query and in the candidate in thousandths of the sides, and the weight in hundredths.
    """
    places = np.concatenate([agreed.query_xy * 1000, agreed.gallery_xy * 1000, agreed.weight[:, None] * 100], axis=1)
    overlays = [overlay_of(cells) for cells in (agreed.query_map, agreed.gallery_map)]
    return {
        "cosine": cosine_text(agreed),
        "overlays": [data_address("image/png", one) for one in overlays],
        "places": [int(value) for value in np.round(places).ravel()],
    }


def _coloured(heat: FloatArray) -> Pixels:
    """Return (H, W, 4) RGBA; larger values are brighter and less transparent."""
    channels = [np.interp(2 * heat, [0, 1, 2], _RAMP[:, channel]) for channel in range(3)]
    return np.stack([*channels, 255 * _COVERS * heat], axis=2).round().astype(np.uint8)


def _placed(share: FloatArray, box: Box) -> tuple[int, int]:
    return round(box[0] + float(share[0]) * box[2]), round(box[1] + float(share[1]) * box[3])


def _join(pixels: Pixels, start: tuple[int, int], end: tuple[int, int]) -> None:
    cv2.line(pixels, start, end, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.line(pixels, start, end, _LINE, 1, cv2.LINE_AA)
    for point in (start, end):
        cv2.circle(pixels, point, 4, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(pixels, point, 3, _LINE, -1, cv2.LINE_AA)
