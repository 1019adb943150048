"""Step one: decode every photograph once, and extract its thumbnail, embedding and local features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.data.decode import decoding_of
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.data.hashing import photograph_keys
from animalclef.errors import ConfigError, DataError
from animalclef.features.embedding.embedder import Embedder, join_embeddings
from animalclef.features.embedding.embedder_registry import trained_on_keys
from animalclef.features.embedding.timm_embedder import TimmExtractor
from animalclef.features.extract import ExtractionJob, ThumbnailExtractor
from animalclef.features.local.query_views import ViewExtractor
from animalclef.features.local.reader import FeatureReader, Wanted, apply_masks, matching_keys, store_name
from animalclef.features.local.sift import SiftExtractor
from animalclef.pipeline.cost import estimate
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.run_context import Member, RunContext
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import Embeddings, FloatArray, ImageTable, MatchKey, Skipped

__all__ = ["FeatureSet", "encounters_of", "encounters_of_whole", "extract_all_features", "thumbnail_stores"]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Every usable photograph with what was extracted from it.

    The keys of `images` are matching keys: content keys, or derived from them where a mask drops keypoints.
    """

    images: ImageTable
    embeddings: Embeddings
    thumbnails: ShardStore
    local: FeatureReader  # local features by matching key
    set_aside: list[Skipped]
    digest: str  # of the table and its photographs
    trained_on: frozenset[str] = frozenset()  # image_ids of database photographs that an embedder was trained on
    more_embeddings: Mapping[str, Embeddings] = field(default_factory=dict)  # of further embedders, by label
    more_local: Mapping[str, FeatureReader] = field(default_factory=dict)  # of further matchers, by label

    def by_content(self) -> ImageTable:
        """Return the photographs with their content keys."""
        keys = [self.local.wanted[key].content_key for key in self.images.key]
        return self.images.with_columns(key=np.array(keys, dtype=object))

    def seen(self, encounters: Encounters) -> list[object]:
        """Return what tells these photographs from others, for fingerprints of what was made from them."""
        models: object = self.embeddings.model
        if self.more_embeddings:
            models = [models, *([label, one.model] for label, one in self.more_embeddings.items())]
        seen: list[object] = [self.images.key.tolist(), sorted(encounters.of.items()), models]
        return seen + ([sorted(self.trained_on)] if self.trained_on else [])

    def thumbnail(self, key: MatchKey) -> FloatArray:
        """Return the thumbnail, (1024,), by matching key."""
        return self.thumbnails.get(self.local.wanted[key].content_key)["thumbnail"].astype(np.float32)


def extract_all_features(contents: Contents, context: RunContext) -> FeatureSet:
    """Fill the run's stores with what they lack; the plan is announced first.

    Raises:
        DataError: no gallery photograph can be read, or a mask is not right.
        ConfigError: a file of `decide.not_learnt_by` names no photographs.
    """
    config, run, models, images = context.config, context.folder, context.models, contents.images
    embedders = (Member("", config, models), *context.more_embedders)
    extractors = (Member("", config, models), *context.more_matchers)
    trained_on = _trained_on([one.models.network for one in embedders], config.decide.not_learnt_by)
    decoding = decoding_of(config.data)
    thumbnails, unreadable = thumbnail_stores(run, config)
    keyed, wanted, masks = matching_keys(images, config.keypoints)
    views = {name: chosen for name, chosen in config.keypoints.views.items() if name in images.datasets}
    local = {one.label: _local_features(one, wanted, run, decoding) for one in extractors}
    tables = {name: images.select(images.dataset == name) for name in images.datasets}
    embed = {one.label: _Embedding(one, tables, run, context.fitted_on) for one in embedders}
    jobs = {}
    for name in tables:
        upright = config.keypoints.is_upright(name)
        jobs[name] = [ExtractionJob(ThumbnailExtractor(), thumbnails)]
        for one in extractors:
            jobs[name] += _local_jobs(one, local[one.label], views.get(name, ()), upright=upright)
        jobs[name] += [one.job(name, context) for one in embed.values()]
    if context.announce is not None:
        context.announce(estimate(images, jobs, context, keyed))
    set_aside = list(contents.set_aside)
    for name, table in tables.items():
        set_aside += context.extract(table, jobs[name], unreadable)
    bad = {item.image_id for item in set_aside}
    usable = np.array([one not in bad for one in images.image_id], dtype=bool)
    images = images.select(usable)
    if not len(images.gallery):
        raise DataError(f"{images.root}: no database photograph can be read, so nobody can be recognised.")
    for one in extractors:
        if one.models.extractor is not None and masks is not None:
            some = keyed.select(usable), masks.select(usable)
            apply_masks(local[one.label], *some, views, context.workers, context.progress, context.warn)
    embeddings = {label: one.of(images) for label, one in embed.items()}
    return FeatureSet(
        keyed.select(usable), embeddings.pop(""), thumbnails, local.pop(""), set_aside, contents.digest,
        _among(images.gallery, trained_on, context.workers), embeddings, local,
    )  # fmt: skip


class _Embedding:
    """One embedder over all data sets: its jobs, and what they left in the stores."""

    def __init__(
        self, member: Member, tables: Mapping[str, ImageTable], run: RunFolder, fitted_on: frozenset[str] | None
    ) -> None:
        config, network = member.config, member.models.network
        self._keeps_axes = fitted_on is not None
        self.embedders = {
            name: Embedder(name, _fitted_on(table.gallery, fitted_on), config, network)
            for name, table in tables.items()
        }
        self.stores = {
            name: ShardStore(run.store("embeddings", one.fingerprint)) for name, one in self.embedders.items()
        }

    def job(self, dataset: str, context: RunContext) -> ExtractionJob:
        """Return the job for one data set; a codebook that is not there is fitted first."""
        store = self.stores[dataset]
        extractor = self.embedders[dataset].extractor(store.folder, context.workers, context.progress)
        return ExtractionJob(extractor, store)

    def of(self, images: ImageTable) -> Embeddings:
        """Return the vectors of all photographs."""
        tables = {name: images.select(images.dataset == name) for name in images.datasets}
        parts = [self.embedders[name].embeddings(table, self.stores[name], keeps_axes=self._keeps_axes)
                 for name, table in tables.items()]  # fmt: skip
        return join_embeddings(parts)


def _fitted_on(gallery: ImageTable, image_ids: frozenset[str] | None) -> ImageTable:
    """Return the photographs that an embedder is fitted on: the given ones, where the gallery has any of them."""
    if image_ids is None:
        return gallery
    chosen = np.array([one in image_ids for one in gallery.image_id], dtype=bool)
    return gallery.select(chosen) if chosen.any() else gallery


def encounters_of(features: FeatureSet, config: Config, links: Sequence[tuple[str, str, int]] = ()) -> Encounters:
    """Find the gallery photographs that belong to one event; `links` are pairs with the same background."""
    gallery = features.images.gallery
    thumbnails = {key: features.thumbnail(key) for key in dict.fromkeys(gallery.key)}
    return find_encounters(gallery, thumbnails, config.encounters, links)


def encounters_of_whole(gallery: ImageTable, links: Sequence[tuple[str, str, int]], context: RunContext) -> Encounters:
    """Find encounters by thumbnails of whole photographs: cut to the animal, those of different events look alike."""
    store, unreadable = thumbnail_stores(context.folder, context.config)
    gone = {one.image_id for one in context.extract(gallery, [ExtractionJob(ThumbnailExtractor(), store)], unreadable)}
    gallery = gallery.select(np.array([one not in gone for one in gallery.image_id], dtype=bool))
    thumbnails = {key: store.get(key)["thumbnail"].astype(np.float32) for key in dict.fromkeys(gallery.key)}
    return find_encounters(gallery, thumbnails, context.config.encounters, links)


def thumbnail_stores(run: RunFolder, config: Config) -> tuple[ShardStore, ShardStore]:
    """Return the stores of thumbnails and of why a photograph could not be decoded."""
    made_by = fingerprint(1, decoding_of(config.data))
    return ShardStore(run.store("thumbnails", made_by)), ShardStore(run.store("unreadable", made_by))


def _trained_on(networks: Sequence[TimmExtractor | None], others: Sequence[str]) -> frozenset[str]:
    """Return keys of the photographs that a network, or an embedder of `others`, was trained on."""
    keys = frozenset[str]().union(*(one.trained_on for one in networks if one is not None))
    for path in others:
        theirs = trained_on_keys(Path(path))
        if not theirs:
            raise ConfigError(
                f"decide.not_learnt_by {path}: expected a file of `animalclef train`, which names its photographs."
            )
        keys |= theirs
    return keys


def _among(gallery: ImageTable, keys: frozenset[str], workers: int) -> frozenset[str]:
    """Return image_ids of the photographs with these keys; files are read again only where there are keys and boxes."""
    if not keys:
        return frozenset()
    keyed = zip(gallery.image_id, photograph_keys(gallery, workers), strict=True)
    return frozenset(image_id for image_id, key in keyed if key in keys)


def _local_features(
    member: Member, wanted: Mapping[MatchKey, Wanted], run: RunFolder, decoding: list[object]
) -> FeatureReader:
    extractor = member.models.extractor
    made_by = fingerprint(3, None if extractor is None else extractor.fingerprint, decoding)
    folder = run.store("keypoints", made_by)
    stores = {"": ShardStore(folder, made_by)}
    for upright, view in sorted({(one.upright, one.view) for one in wanted.values()}):
        own = store_name(view, upright=upright and isinstance(extractor, SiftExtractor))
        name = f"{made_by}-{own}" if own else made_by
        stores[store_name(view, upright=upright)] = ShardStore(folder.with_name(name), name)
    name = "" if extractor is None else extractor.name
    keypoints, masks = member.config.keypoints, ShardStore(run.store("masks", made_by))
    return FeatureReader(name, stores, masks, keypoints.border, wanted, keypoints.matched)


def _local_jobs(member: Member, local: FeatureReader, views: tuple[str, ...], *, upright: bool) -> list[ExtractionJob]:
    extractor = member.models.extractor
    if extractor is None:
        return []
    if isinstance(extractor, SiftExtractor):
        extractor = extractor.with_upright(upright=upright)
    return [
        ExtractionJob(
            ViewExtractor(extractor, view) if view else extractor, local.stores[store_name(view, upright=upright)]
        )
        for view in ("", *views)
    ]
