"""What the embedding of a run agreed on in a pair of photographs, found again on request."""

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
    """Explains pairs with the embedder of a run, on the processor; without its weights, none (one warning).

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
            logger.warning("What the embedding agreed on cannot be drawn: %s", error)
            self.are_there = False

    def of(self, query_id: str, gallery_id: str) -> Agreement | None:
        """What the two photographs agree on; `None` where one cannot be read, or the run keeps no embedder.

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
        """As the run decoded it."""
        try:
            return read_image(self._run.images, self._run.row_of[image_id], self._run.config.data)
        except (DataError, UnreadableImageError, KeyError):
            return None

    def _codebook(self, dataset: str) -> Codebook | None:
        """The codebook that the run fitted on the gallery of a data set."""
        if dataset not in self._codebooks:
            self._codebooks[dataset] = _stored_codebook(self._run, dataset)
            if self._codebooks[dataset] is None:
                told = (
                    "What the embedding agreed on cannot be drawn: %s keeps no codebook of %s that fits its settings."
                )
                logger.warning(told, self._run.folder.path, dataset)
        return self._codebooks[dataset]


def _plain(config: Config) -> Config:
    """The network as the library computes it: what makes it quicker takes its layers apart."""
    plain = config.embed.model_copy(update={"precision": "plain", "compile": False})
    return config.model_copy(update={"embed": plain})


def _stored_codebook(run: FinishedRun, dataset: str) -> Codebook | None:
    """By the run's settings; where the table does not tell the whole gallery any more, by the photographs described."""
    images, folder = run.images, run.folder.path / "embeddings"
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
