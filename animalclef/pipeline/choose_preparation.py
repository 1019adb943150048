"""Try preparations on a sample of the database, and choose one for each data set by validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from animalclef.config import Config
from animalclef.config.prepare import MODES, Mode
from animalclef.data.masks import find_masks
from animalclef.pipeline.background_events import link_by_background
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.features import FeatureSet, encounters_of, extract_all_features
from animalclef.pipeline.image_contents import Contents, keyed
from animalclef.pipeline.outlines import Outlines
from animalclef.pipeline.preparation_table import DatasetPreparation, VariantScore
from animalclef.pipeline.run_context import RunContext
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
from animalclef.prepare.variant_choice import (
    Evidence,
    Margin,
    Variant,
    believed,
    can_be_tried,
    choose_variant,
    mode_by_rule,
)
from animalclef.structures import ImageTable

__all__ = ["choose_preparations"]

_OWN_PATTERN = 0.25  # of the usual share: with fewer verified matches across viewpoints, each side has its own pattern

FindOutlines = Callable[[ImageTable], Outlines]


def choose_preparations(
    names: Sequence[str], contents: Contents, context: RunContext, find: FindOutlines
) -> dict[str, DatasetPreparation]:
    """Return the choice for each of the data sets named; a run that applies a given decision leaves them whole."""
    if not names:
        return {}
    if context.given is not None:
        reason = "the given decision names no preparation"
        return {name: DatasetPreparation(mode="whole", reason=reason) for name in names}
    return _Chooser(contents.images, context, find)(names)


@dataclass(frozen=True, eq=False)
class _Chooser:
    """Tries preparations; features and pairs land in the run's own stores, so that the chosen ones are used again."""

    images: ImageTable
    context: RunContext
    find: FindOutlines

    def __call__(self, names: Sequence[str]) -> dict[str, DatasetPreparation]:
        config = self.context.config
        mine = {name: self.images.select(self.images.dataset == name) for name in names}
        drawn = {name: draw_sample(one, config.prepare.trial_photographs, config.seed) for name, one in mine.items()}
        samples = {name: table for name, table in drawn.items() if len(table)}
        none = DatasetPreparation(mode="whole", reason="no database photograph to try it on")
        if not samples:
            return dict.fromkeys(names, none)
        outlines = self.find(self._joined(samples))
        evidence = {name: outline_evidence(table, outlines) for name, table in samples.items()}
        tried = {
            name: table for name, table in samples.items() if can_be_tried(len(mine[name].gallery), evidence[name])
        }
        chosen = dict.fromkeys(names, none) | {
            name: _by_rule(len(table), evidence[name]) for name, table in samples.items() if name not in tried
        }
        return chosen | (self._by_trial(tried, outlines, evidence) if tried else {})

    def _joined(self, samples: Mapping[str, ImageTable]) -> ImageTable:
        ids = np.concatenate([table.image_id for table in samples.values()]).astype(str)
        return self.images.select(np.isin(self.images.image_id.astype(str), ids))

    def _by_trial(
        self, samples: Mapping[str, ImageTable], outlines: Outlines, evidence: Mapping[str, Evidence]
    ) -> dict[str, DatasetPreparation]:
        queries = Counter(self.images.queries.dataset.tolist())
        config = trial_config(self.context.config, {name: queries[name] for name in samples})
        context = replace(self.context, config=config, announce=None)
        if context.say is not None:
            context.say(_cost_sentence(samples, config, 1 + len(self._plan(evidence, list(samples)))))
        sample = self._joined(samples)
        whole = extract_all_features(Contents(sample, []), context)
        links = link_by_background(sample, outlines.mask, context).all() if config.prepare.events else ()
        encounters = encounters_of(whole, config, links)
        trials: dict[Mode, dict[str, Trial]] = {"whole": try_on(CandidateSearch(whole, context), encounters)}
        for mode, names in self._plan(evidence, list(samples)).items():
            table = sample.select(np.isin(sample.dataset.astype(str), names))
            modes = dict.fromkeys(names, mode)
            given = find_masks(table, None, report=False)  # with a folder of masks nothing is tried
            prepared = prepared_table(table, outlines.text, outlines.mask, modes, config.prepare.margin, given)
            described = extract_all_features(Contents(keyed(prepared, context.workers), []), context)
            trials[mode] = try_on(CandidateSearch(described, context), encounters)
        return {
            name: self._chosen(name, table, evidence[name], trials, whole, outlines, config)
            for name, table in samples.items()
        }

    def _plan(self, evidence: Mapping[str, Evidence], names: list[str]) -> dict[Mode, list[str]]:
        """Which data sets try which preparation beside `whole`."""
        matched = self.context.models.matcher is not None
        plan: dict[Mode, list[str]] = {"masked": names if matched else [], "cut-out": names}
        plan["along-body"] = [name for name in names if evidence[name].any_angle]
        return {mode: chosen for mode, chosen in plan.items() if chosen}

    def _chosen(
        self,
        name: str,
        sample: ImageTable,
        evidence: Evidence,
        trials: Mapping[Mode, Mapping[str, Trial]],
        whole: FeatureSet,
        outlines: Outlines,
        config: Config,
    ) -> DatasetPreparation:
        scored = score_trials(name, {mode: found[name] for mode, found in trials.items() if name in found}, config)
        before = self._off(scored["whole"], whole, sample, outlines)
        evidence = replace(evidence, off_animal=before)
        order = sorted(scored, key=MODES.index)
        candidates = believed(order, evidence)
        best = max(candidates, key=lambda mode: np.nan_to_num(scored[mode].score, nan=-1.0))
        behind = {mode: margin_between(scored[best], scored[mode]) for mode in candidates}
        tied = [mode for mode in candidates if behind[mode].is_tie]
        first = max(tied, key=lambda mode: np.nan_to_num(scored[mode].rank1, nan=-1.0))
        in_rank1 = {mode: rank1_margin(scored[first], scored[mode]) for mode in tied}
        variants = [Variant(mode, scored[mode].score, scored[mode].rank1) for mode in order]
        mode, reason = choose_variant([one for one in variants if one.mode in candidates], behind, in_rank1, evidence)
        if candidates != order and not reason.endswith(mode_by_rule(evidence)[1]):
            reason = f"{reason}; whole photographs are matched by their backgrounds"
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
            other_viewpoints=_rounded(sides),
            variants=tuple(
                VariantScore(
                    mode=one.mode, score=_rounded(one.score), rank1=_rounded(one.rank1),
                    behind=_rounded(behind[one.mode].difference if _compared(one, behind) else None),
                    error=_rounded(behind[one.mode].error if _compared(one, behind) else None),
                )
                for one in variants
            ),
        )  # fmt: skip

    def _off(self, trial: Trial, described: FeatureSet, sample: ImageTable, outlines: Outlines) -> float | None:
        if self.context.models.matcher is None:
            return None
        return off_animal_share(trial.part, described, self.context.models.matcher, sample, outlines.mask)


def _compared(variant: Variant, behind: Mapping[Mode, Margin]) -> bool:
    """Return whether a variant was validated, and is believed."""
    return variant.score == variant.score and variant.mode in behind


def _by_rule(photographs: int, evidence: Evidence) -> DatasetPreparation:
    mode, reason = mode_by_rule(evidence)
    return DatasetPreparation(
        mode=mode, reason=reason, photographs=photographs, outlined=_rounded(evidence.outlined),
        filled=_rounded(evidence.filled), uniform=_rounded(evidence.uniform),
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)


def _cost_sentence(samples: Mapping[str, ImageTable], config: Config, ways: int) -> str:
    photographs = sum(map(len, samples.values()))
    queries = sum(min(config.decide.of("pseudo_queries", name), len(one)) for name, one in samples.items())
    return (
        f"Trying how to prepare the photographs of {', '.join(samples)}: {ways} ways, each on {photographs} database "
        f"photographs with about {queries * config.retrieve.top_k} pairs. --no-auto skips this."
    )
