"""Try preparations on a sample of the database, and choose one for each data set by validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from animalclef.config.prepare import MODES, Mode
from animalclef.data.masks import Masks
from animalclef.pipeline.background_events import link_by_background
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.cut_photographs import prepared_table
from animalclef.pipeline.features import FeatureSet, encounters_of, extract_all_features
from animalclef.pipeline.image_contents import Contents, keyed
from animalclef.pipeline.outlines import Outlines, outlines_of
from animalclef.pipeline.preparation_table import DatasetPreparation, VariantScore
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.trial_evidence import off_animal_share, other_viewpoint_share, outline_evidence
from animalclef.pipeline.trial_sample import (
    Trial,
    draw_samples,
    margin_between,
    rank1_margin,
    rows_of,
    score_trials,
    trial_config,
    try_on,
)
from animalclef.prepare.variant_choice import Evidence, believed, can_be_tried, choose_variant, mode_by_rule
from animalclef.structures import ImageTable

__all__ = ["choose_preparations"]

_OWN_PATTERN = 0.25  # of the usual share: with fewer verified matches across viewpoints, each side has its own pattern

Samples = Mapping[str, ImageTable]


def choose_preparations(
    names: Sequence[str], images: ImageTable, masks: Masks | None, context: RunContext
) -> dict[str, DatasetPreparation]:
    """Return the choice for each of the data sets named; a run that applies a given decision leaves them whole.

    `masks` are those of the table. Features and pairs land in the run's own stores, so that the chosen ones are used
    again.
    """
    if context.given is not None:
        reason = "the given decision names no preparation"
        return {name: DatasetPreparation(mode="whole", reason=reason) for name in names}
    none = DatasetPreparation(mode="whole", reason="no database photograph to try it on")
    samples = {name: one for name, one in draw_samples(images, names, context.config).items() if len(one)}
    if not samples:
        return dict.fromkeys(names, none)
    outlines = outlines_of(images.select(rows_of(images, samples)), context)
    evidence = {name: outline_evidence(table, outlines) for name, table in samples.items()}
    database = Counter(images.gallery.dataset.tolist())
    tried = {name: table for name, table in samples.items() if can_be_tried(database[name], evidence[name])}
    chosen = {
        name: _decided(evidence[name], *mode_by_rule(evidence[name])) if name in samples else none
        for name in names
        if name not in tried
    }
    if not tried:
        return chosen
    trials = _try_all(tried, evidence, images, masks, outlines, context)
    return chosen | {name: trials.choose(name, evidence[name]) for name in tried}


@dataclass(frozen=True, eq=False)
class _Trials:
    """The trials of every preparation on the samples, with the features of whole photographs."""

    trials: Mapping[Mode, Mapping[str, Trial]]
    whole: FeatureSet
    outlines: Outlines
    context: RunContext

    def choose(self, name: str, evidence: Evidence) -> DatasetPreparation:
        """Return the preparation of one data set by its nested scores, then by rank-1, then by rule."""
        of_modes = {mode: found[name] for mode, found in self.trials.items() if name in found}
        scored = score_trials(name, of_modes, self.context.config)
        matcher, before = self.context.models.matcher, None
        if matcher is not None:
            before = off_animal_share(scored["whole"].part, self.whole, matcher, self.outlines.mask)
        evidence = replace(evidence, off_animal=before)
        order = sorted(scored, key=MODES.index)
        candidates = believed(order, evidence)
        best = max(candidates, key=lambda mode: np.nan_to_num(scored[mode].score, nan=-1.0))
        behind = {mode: margin_between(scored[best], scored[mode]) for mode in candidates}
        tied = [mode for mode in candidates if behind[mode].is_tie]
        first = max(tied, key=lambda mode: np.nan_to_num(scored[mode].rank1, nan=-1.0))
        in_rank1 = {mode: rank1_margin(scored[first], scored[mode]) for mode in tied}
        compared = [mode for mode in candidates if not np.isnan(scored[mode].score)]
        mode, reason = choose_variant(compared, behind, in_rank1, evidence)
        if candidates != order and not reason.endswith(mode_by_rule(evidence)[1]):
            reason = f"{reason}; whole photographs are matched by their backgrounds"
        sides = other_viewpoint_share(scored[mode].part)
        return _decided(
            evidence,
            mode,
            reason,
            same_viewpoint=sides is not None and sides < _OWN_PATTERN,
            queries=len(scored[mode].part),
            other_viewpoints=sides,
            variants=tuple(
                VariantScore(
                    mode=one,
                    score=scored[one].score,
                    rank1=scored[one].rank1,
                    behind=behind[one].difference if one in compared else None,
                    error=behind[one].error if one in compared else None,
                )
                for one in order
            ),
        )


def _try_all(
    samples: Samples, evidence: Mapping[str, Evidence], images: ImageTable, masks: Masks | None, outlines: Outlines,
    context: RunContext,
) -> _Trials:  # fmt: skip
    """Match the samples as whole photographs, and in each way that may suit them."""
    # a catalogue's axes are fitted by its first whole run, never by a sample without queries
    trial = trial_config(context.config, images, samples)
    context = replace(context, config=trial, announce=None, fitted_on=None, warnings=[])
    config, names = context.config, list(samples)
    plan: dict[Mode, list[str]] = {
        "masked": [] if context.models.matcher is None else names,
        "cut-out": names,
        "along-body": [name for name in names if evidence[name].any_angle],
    }
    plan = {mode: some for mode, some in plan.items() if some}
    if context.say is not None:
        context.say(_cost_sentence(samples, context, 1 + len(plan)))
    rows = rows_of(images, samples)
    sample, given = images.select(rows), None if masks is None else masks.select(rows)
    whole = extract_all_features(Contents(sample, []), context)
    links = link_by_background(sample, outlines.mask, context).all() if config.prepare.events else ()
    encounters = encounters_of(whole, config, links)
    trials: dict[Mode, dict[str, Trial]] = {"whole": try_on(CandidateSearch(whole, context), encounters)}
    for mode, some in plan.items():
        mine = np.isin(sample.dataset.astype(str), some)
        own = None if given is None else given.select(mine)
        prepared = prepared_table(sample.select(mine), outlines, dict.fromkeys(some, mode), config.prepare.margin, own)
        described = extract_all_features(Contents(keyed(prepared, context.workers), []), context)
        trials[mode] = try_on(CandidateSearch(described, context), encounters)
    return _Trials(trials, whole, outlines, context)


def _decided(evidence: Evidence, mode: Mode, reason: str, **more: Any) -> DatasetPreparation:
    return DatasetPreparation(
        mode=mode, reason=reason, photographs=evidence.photographs, outlined=evidence.outlined, filled=evidence.filled,
        uniform=evidence.uniform, off_animal_before=evidence.off_animal, **more,
    )  # fmt: skip


def _cost_sentence(samples: Samples, context: RunContext, ways: int) -> str:
    config, photographs = context.config, sum(map(len, samples.values()))
    queries = sum(min(config.decide.of("pseudo_queries", name), len(one)) for name, one in samples.items())
    return (
        f"Trying how to prepare the photographs of {', '.join(samples)}: {ways} ways, each on {photographs} database "
        f"photographs with about {queries * config.retrieve.top_k} pairs. --no-auto skips this."
    )
