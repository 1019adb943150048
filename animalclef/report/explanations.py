"""Explain the embedding of a run: find the regions that it matched in a pair of photographs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from animalclef.config import Config
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.errors import ConfigError, DataError, WeightsError
from animalclef.explain.pairx import Agreement
from animalclef.explain.pairx_network import agreement_of_network
from animalclef.explain.pairx_vlad import agreement_of_vlad
from animalclef.features.embedding.embedder import Embedder, load_network
from animalclef.features.embedding.timm_embedder import TimmExtractor
from animalclef.features.embedding.vlad import Codebook
from animalclef.store.finished_run import FinishedRun
from animalclef.store.shard_store import ShardStore
from animalclef.structures import DecodedImage

__all__ = ["Explanations"]

logger = logging.getLogger(__name__)


class Explanations:
    """Explain pairs with the embedder of a run, on the CPU; without its weights there is one warning and no result.

    Raises:
        ConfigError: the embedder has no layers, but one is named.
    """

    def __init__(self, run: FinishedRun, layer: str | None = None, weights: Path | None = None) -> None:
        self._run, self._layer = run, layer
        self._network: TimmExtractor | None = None
        self._codebooks: dict[str, Codebook | None] = {}
        self.are_there = True
        if layer is not None and run.config.embed.model == "rootsift-vlad":
            raise ConfigError(f"--layer {layer}: the weight-free embedding has no layers. Leave --layer out.")
        try:
            self._network = load_network(_plain(run.config), "cpu", weights)
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
        query, gallery = self._photograph(query_id), self._photograph(gallery_id)
        if query is None or gallery is None:
            return None
        if self._network is not None:
            return agreement_of_network(self._network, query, gallery, self._layer)
        codebook = self._codebook(str(self._run.images.dataset[self._run.row_of[query_id]]))
        return None if codebook is None else agreement_of_vlad(query, gallery, codebook, self._run.config.embed)

    def _photograph(self, image_id: str) -> DecodedImage | None:
        """Decode a photograph as the run did."""
        try:
            return read_image(self._run.images, self._run.row_of[image_id], self._run.config.data)
        except (DataError, UnreadableImageError, KeyError):
            return None

    def _codebook(self, dataset: str) -> Codebook | None:
        """Return the codebook that the run fitted on the gallery of a data set."""
        if dataset not in self._codebooks:
            self._codebooks[dataset] = _stored_codebook(self._run, dataset)
            if self._codebooks[dataset] is None:
                sentence = "The embedding cannot be explained: %s keeps no codebook of %s that fits its settings."
                logger.warning(sentence, self._run.path, dataset)
        return self._codebooks[dataset]


def _plain(config: Config) -> Config:
    """Return the settings of the plain network: compiled or mixed-precision ones hide their layers."""
    plain = config.embed.model_copy(update={"precision": "plain", "compile": False})
    return config.model_copy(update={"embed": plain})


def _stored_codebook(run: FinishedRun, dataset: str) -> Codebook | None:
    """Find the codebook by the run's settings, or by its photographs if the table lacks part of the gallery now."""
    images, folder = run.images, run.path / "embeddings"
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
