"""Try preparations on a sample of the database, and choose one for each data set by validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from animalclef.config import Config
from animalclef.config.prepare import MODES, Mode
from animalclef.data.encounters import Encounters
from animalclef.pipeline.background_events import link_by_background
from animalclef.pipeline.decide import encounters_of
from animalclef.pipeline.features import FeatureSet, extract_all_features
from animalclef.pipeline.image_contents import Contents, keyed
from animalclef.pipeline.match import Matching, open_log
from animalclef.pipeline.models import Tools
from animalclef.pipeline.preparation_table import DatasetPreparation, VariantScore
from animalclef.pipeline.shortlist import Shortlisting
from animalclef.pipeline.trial_evidence import off_animal_share, other_viewpoint_share, outline_evidence
from animalclef.pipeline.trial_sample import (
    Trial,
    draw_sample,
    margin_between,
    rank1_margin,
    score_trials,
    trial_config,
    try_on,
)
from animalclef.prepare.cut_out import prepared_table
from animalclef.prepare.outlines import Outlines
from animalclef.prepare.variant_choice import Evidence, Variant, choose_variant
from animalclef.runtime.progress import Progress
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable

__all__ = ["Chooser"]

_SEEN_FROM_ABOVE = 0.5  # of the photographs with a background of one colour: bodies may lie at any angle
_OWN_PATTERN = 0.25  # of the usual share: with fewer verified matches across viewpoints, each side has its own pattern

FindOutlines = Callable[[ImageTable], Outlines]


@dataclass(frozen=True, eq=False)
class Chooser:
    """Tries preparations; features and pairs land in the run's own stores, so that the chosen ones are used again."""

    contents: Contents
    config: Config
    tools: Tools
    run: RunFolder
    workers: int
    progress: Progress
    say: Callable[[str], None]

    def __call__(self, names: Sequence[str], find: FindOutlines) -> dict[str, DatasetPreparation]:
        """Return the choice for each of the data sets named."""
        images, most = self.contents.images, self.config.prepare.trial_photographs
        samples = {name: draw_sample(images.select(images.dataset == name), most, self.config.seed) for name in names}
        samples = {name: sample for name, sample in samples.items() if len(sample)}
        if not samples:
            reason = "no database photograph to try it on"
            return {name: DatasetPreparation(mode="whole", reason=reason) for name in names}
        queries = Counter(images.queries.dataset.tolist())
        config = trial_config(self.config, {name: queries[name] for name in samples})
        wanted = np.isin(images.image_id.astype(str), np.concatenate([s.image_id for s in samples.values()]).astype(str))
        self.say(_cost_sentence(samples, config, self.workers))
        sample = images.select(wanted)
        outlines = find(sample)
        whole = self._described(sample, config)
        evidence = {
            name: outline_evidence(table, outlines.mask, _of_dataset(whole, name)) for name, table in samples.items()
        }
        links = link_by_background(sample, outlines.mask, config, self.run, self.workers, self.progress).all()
        encounters = encounters_of(whole, config, links) if config.prepare.events else encounters_of(whole, config)
        seen: dict[Mode, FeatureSet] = {"whole": whole}
        trials: dict[Mode, dict[str, Trial]] = {"whole": self._try(whole, encounters, config)}
        for mode, tried in self._plan(evidence).items():
            table = sample.select(np.isin(sample.dataset.astype(str), tried))
            prepared = prepared_table(
                table, outlines.text, outlines.mask, dict.fromkeys(tried, mode), config.prepare.margin
            )
            described = self._described(keyed(prepared, self.workers), config)
            seen[mode], trials[mode] = described, self._try(described, encounters, config)
        return {
            name: self._chosen(name, samples.get(name), evidence.get(name), trials, seen, outlines, encounters, config)
            for name in names
        }

    def _plan(self, evidence: dict[str, Evidence]) -> dict[Mode, list[str]]:
        """Which data sets try which preparation beside `whole`."""
        able = [name for name, one in evidence.items() if one.outlined >= 0.5]
        matched = self.tools.matcher is not None
        plan: dict[Mode, list[str]] = {"masked": able if matched else [], "cut-out": able}
        plan["along-body"] = [name for name in able if (evidence[name].uniform or 0.0) >= _SEEN_FROM_ABOVE]
        return {mode: names for mode, names in plan.items() if names}

    def _described(self, images: ImageTable, config: Config) -> FeatureSet:
        return extract_all_features(
            Contents(images, []), config, self.tools, self.run, 0, self.workers, self.progress, None,
            tunes=False,
        )  # fmt: skip

    def _try(self, described: FeatureSet, encounters: Encounters, config: Config) -> dict[str, Trial]:
        shortlisting = Shortlisting(config, described, self.run, self.progress)
        log = open_log(config, self.run, self.tools)
        match = Matching(config, self.tools.matcher, log, self.workers, self.progress)
        return try_on(described, encounters, config, shortlisting, match)

    def _chosen(
        self,
        name: str,
        sample: ImageTable | None,
        evidence: Evidence | None,
        trials: dict[Mode, dict[str, Trial]],
        seen: dict[Mode, FeatureSet],
        outlines: Outlines,
        encounters: Encounters,
        config: Config,
    ) -> DatasetPreparation:
        if sample is None or evidence is None:
            return DatasetPreparation(mode="whole", reason="no database photograph to try it on")
        scored = score_trials({mode: found[name] for mode, found in trials.items() if name in found}, config)
        before = self._off(name, scored["whole"], seen["whole"], sample, outlines)
        evidence = replace(evidence, off_animal=before)
        order = sorted(scored, key=lambda mode: MODES.index(mode))
        best = max(order, key=lambda mode: np.nan_to_num(scored[mode].score, nan=-1.0))
        behind = {mode: margin_between(scored[best], scored[mode], config.seed) for mode in order}
        tied = [mode for mode in order if behind[mode].is_tie]
        first = max(tied, key=lambda mode: np.nan_to_num(scored[mode].rank1, nan=-1.0))
        in_rank1 = {mode: rank1_margin(scored[first], scored[mode]) for mode in tied}
        variants = [Variant(mode, scored[mode].score, scored[mode].rank1) for mode in order]
        mode, reason = choose_variant(variants, behind, in_rank1, evidence)
        mode = mode if mode in scored else "whole"
        sides = other_viewpoint_share(scored[mode].part)
        return DatasetPreparation(
            mode=mode,
            reason=reason,
            same_viewpoint=sides is not None and sides < _OWN_PATTERN,
            photographs=len(sample),
            queries=len(scored[mode].part),
            outlined=_rounded(evidence.outlined),
            filled=_rounded(evidence.filled),
            uniform=_rounded(evidence.uniform),
            off_animal_before=_rounded(before),
            off_animal_after=_rounded(before if mode == "whole" else 0.0 if before is not None else None),
            other_viewpoints=_rounded(sides),
            variants=tuple(
                VariantScore(
                    mode=one.mode, score=_rounded(one.score), behind=_rounded(behind[one.mode].difference),
                    error=_rounded(behind[one.mode].error), rank1=_rounded(one.rank1),
                )
                for one in variants
            ),
        )  # fmt: skip

    def _off(
        self, name: str, trial: Trial, described: FeatureSet, sample: ImageTable, outlines: Outlines
    ) -> float | None:
        if self.tools.matcher is None:
            return None
        return off_animal_share(trial.part, described, self.tools.matcher, sample, outlines.mask)


def _of_dataset(described: FeatureSet, name: str) -> FeatureSet:
    images = described.images
    return replace(described, images=images.select(images.dataset == name))


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)


def _cost_sentence(samples: dict[str, ImageTable], config: Config, workers: int) -> str:
    photographs = sum(map(len, samples.values()))
    queries = sum(min(config.decide.of("pseudo_queries", name), len(one)) for name, one in samples.items())
    pairs = queries * config.retrieve.top_k
    return (
        f"Trying how to prepare the photographs of {len(samples)} data sets: up to 4 ways on {photographs} database "
        f"photographs, {pairs} pairs each. --set prepare.mode=whole skips this."
    )
