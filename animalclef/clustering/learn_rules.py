"""Learn, for every data set, how probable a pair is and how its photographs are clustered; the truth is never used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from animalclef.clustering.choose_rule import ClusterRule, KnownBest, PseudoTests, choose_rule, count_ratios
from animalclef.clustering.held_out_links import LabelledPairs, fit_pooled, held_out_probability
from animalclef.clustering.link_model import LinkModel, prior_link_model
from animalclef.clustering.pseudo_tests import LEVELS, draw_tests, thinned_like
from animalclef.decision.null_model import Null
from animalclef.metrics.clustering_metrics import score_clusters
from animalclef.structures.arrays import Floats
from animalclef.structures.clusters import LinkedPairs

__all__ = ["Evidence", "LearnedRule", "PseudoPool", "learn_rules"]


_TESTS = 6
_NESTED_TESTS = 3
# Where they cannot be chosen (docs/lab/clustering.md): probabilities from which photographs are attached to a known
# individual, and from which groups are joined.
_ATTACH = 0.5
_CUT = 0.4


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the photographs of one data set that are to be clustered."""

    pairs: LinkedPairs
    nulls: Mapping[str, Null]
    known: KnownBest


@dataclass(frozen=True, eq=False)
class PseudoPool:
    """Database photographs of one data set, of which pseudo-tests are made."""

    labelled: LabelledPairs
    known: KnownBest


@dataclass(frozen=True, eq=False)
class LearnedRule:
    """How the photographs of one data set are clustered, and what pseudo-tests say of it."""

    model: LinkModel
    rule: ClusterRule
    ratios: Floats  # (resamples, cuts of `rule.alike` and 1), see count_ratios; empty without pseudo-tests
    validation: Mapping[str, float]  # ari, ami: of rules that were chosen on other individuals; empty without any


def learn_rules(
    targets: Mapping[str, Evidence],
    pools: Mapping[str, PseudoPool],
    columns: Sequence[str],
    given: Mapping[str, Any],
    seed: int,
    *,
    attaches: bool,
) -> dict[str, LearnedRule]:
    """Return a rule for every data set: its own, that of the other data sets, or that of the null model."""
    able = {name: pool for name, pool in sorted(pools.items()) if pool.labelled.suffices}
    learner, learned = _Learner(columns, given, seed, attaches), {}
    for name, target in targets.items():
        if name in able:
            learned[name] = learner.of_itself(able[name], target)
        elif able:
            learned[name] = learner.of_others(list(able.values()), target)
        else:
            rule = replace(ClusterRule(cut=_CUT, attach=_ATTACH if attaches else None), **given)
            learned[name] = LearnedRule(prior_link_model(columns), rule, np.zeros((0, 0)), {})
    return learned


@dataclass(frozen=True)
class _Learner:
    """Learns from database photographs; `given` are fields of the rule that the settings fix."""

    columns: Sequence[str]
    given: Mapping[str, Any]
    seed: int
    attaches: bool

    def of_itself(self, pool: PseudoPool, target: Evidence) -> LearnedRule:
        """Learn from the data set's own photographs."""
        labelled = pool.labelled
        model = labelled.fit(self.columns).for_use
        probability = held_out_probability(labelled, self.columns, self.seed)
        level = _level(labelled, probability, model, target, self.seed)
        tests = _tests(pool, probability, level, _TESTS, self.seed)
        rule = choose_rule([tests], self.given, attaches=self.attaches)
        nested = self._nested(_tests(pool, probability, level, _NESTED_TESTS, self.seed + 1))
        return LearnedRule(model, rule, count_ratios([tests], rule, self.seed), nested)

    def of_others(self, pools: Sequence[PseudoPool], target: Evidence) -> LearnedRule:
        """Learn in units of the null model; each data set is tested with the model of the others."""
        model = fit_pooled([pool.labelled for pool in pools], self.columns)
        every = []
        for pool in pools:
            others = [other.labelled for other in pools if other is not pool]
            mine = pool.labelled
            if others:
                probability = fit_pooled(others, self.columns).probability(mine.pairs, mine.nulls)
            else:
                probability = held_out_probability(mine, self.columns, self.seed)
            level = _level(mine, probability, model, target, self.seed)
            every.append(_tests(pool, probability, level, _TESTS, self.seed))
        rule = choose_rule(every, self.given, attaches=False)
        attach = self.given.get("attach", _ATTACH) if self.attaches else None
        rule = replace(rule, chosen_on="other data sets", attach=attach)
        return LearnedRule(model, rule, count_ratios(every, replace(rule, attach=None), self.seed), {})

    def _nested(self, tests: PseudoTests) -> dict[str, float]:
        """Return ARI and AMI of each half of the individuals by the rule that was chosen on the other half."""
        individuals = int(tests.who.max()) + 1
        half = np.zeros(individuals, dtype=bool)
        half[np.random.default_rng([self.seed, 25]).permutation(individuals)[: individuals // 2]] = True
        scores = []
        for mine in (half, ~half):
            rule = choose_rule([tests.within(~mine)], self.given, attaches=self.attaches)
            scored = tests.within(mine)
            parts = zip(scored.rows, scored.partitioners(rule), strict=True)
            scores += [score_clusters(scored.who[rows], part.at(rule.cut)) for rows, part in parts if len(rows)]
        return {name: float(np.mean([getattr(one, name) for one in scores])) for name in ("ari", "ami")}


def _level(labelled: LabelledPairs, probability: Floats, model: LinkModel, target: Evidence, seed: int) -> int:
    """Return how many photographs of an individual a pseudo-test has, so that it resembles the queries."""
    if not len(target.pairs.image_id):
        return LEVELS[-1]
    partners = 2 * float(model.probability(target.pairs, target.nulls).sum()) / len(target.pairs.image_id)
    return thinned_like(labelled.who, probability, labelled.pairs.first, labelled.pairs.second, partners, seed)


def _tests(pool: PseudoPool, probability: Floats, level: int, count: int, seed: int) -> PseudoTests:
    labelled = pool.labelled
    rows = draw_tests(labelled.who, level, count, seed)
    return PseudoTests(labelled.who, labelled.pairs.first, labelled.pairs.second, probability, pool.known, rows)
