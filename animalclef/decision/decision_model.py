"""`decision.json`: how scores become answers, and which individuals that was fitted on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from animalclef.config import Config, VoteConfig
from animalclef.config.decision import Aggregation
from animalclef.config.prepare import Mode
from animalclef.decision.calibrators import Calibrator, Part
from animalclef.decision.null_model import Null
from animalclef.decision.pair_classifier import PairModel
from animalclef.errors import StaleArtefactError
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.digests import content_digest
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.regular_files import read_regular

__all__ = [
    "AnswerCurve",
    "Calibrator",
    "DatasetDecision",
    "Decision",
    "Preparation",
    "Reliability",
    "Strangers",
    "Summary",
    "Validation",
    "load_decision",
    "parse_decision",
]

_MOST_BYTES = 100_000_000


class Preparation(Part):
    """What was chosen by the size of the job and by trial."""

    modes: dict[str, Mode] = Field(default_factory=dict)
    same_viewpoint: bool | tuple[str, ...] = False
    max_keypoints: int | None = None
    long_side: int | None = None
    matched: int | None = None
    upright: bool | tuple[str, ...] = False
    vote_keypoints: int | None = None

    def applied_to(self, config: Config) -> Config:
        """Return the settings with these choices where they leave the choice open; other data sets stay whole.

        What the settings give themselves stays, so that a decision is refused where it does not fit.
        """
        keypoints, open_ones = config.keypoints, ("max_keypoints", "long_side", "matched")
        sizes: dict[str, object] = {name: getattr(self, name) for name in open_ones if getattr(keypoints, name) is None}
        if keypoints.upright == "auto":
            sizes["upright"] = self.upright
        modes = config.prepare.mode
        given = {name: mode for name, mode in modes.items() if mode != "auto"} if isinstance(modes, dict) else {}
        update: dict[str, object] = {"keypoints": keypoints.model_copy(update=sizes)}
        if modes == "auto" or isinstance(modes, dict) or set(self.modes.values()) == {modes}:
            update["prepare"] = config.prepare.model_copy(update={"mode": {**self.modes, **given}})
        if config.retrieve.same_viewpoint == "auto":
            update["retrieve"] = config.retrieve.model_copy(update={"same_viewpoint": self.same_viewpoint})
        if self.vote_keypoints is not None and config.vote == VoteConfig():
            update["vote"] = config.vote.model_copy(update={"max_keypoints": self.vote_keypoints})
        return config.model_copy(update=update)


class Reliability(Part):
    """How far held-out probabilities of pairs can be believed: one entry per bin that holds a pair."""

    said: tuple[float, ...] = Field(description="mean probability")
    seen: tuple[float, ...] = Field(description="share of pairs that show one individual")
    pairs: tuple[int, ...]
    error: float = Field(description="expected calibration error: mean of |said - seen| over pairs")


class Validation(Part):
    """What was measured on pseudo-queries; `nested` was tuned on individuals it was not scored on."""

    pseudo_queries: int
    individuals: int
    tuned: float
    nested: float
    baks: float
    baus: float
    low: float | None = Field(
        None, description="lower end of the 95% interval of `nested`, individuals drawn with replacement"
    )
    high: float | None = Field(
        None, description="its upper end, raised by what one more encounter of each individual is worth"
    )
    plateau: tuple[float, float] | None = Field(None, description="thresholds that score within 1% of the best")
    reliability: Reliability | None = None
    answers: Reliability | None = Field(None, description="of probabilities of answers near the threshold, out of fold")

    @property
    def optimism(self) -> float:
        """How much higher the choice scores on the pseudo-queries that it was tuned on."""
        return self.tuned - self.nested


class Strangers(Part):
    """What a decision does with database photographs whose individual is hidden."""

    photographs: int
    individuals: int
    new: float = Field(description="share that is answered as new, every individual counted alike")
    low: float = Field(description="95% interval of `new` (Wilson), over individuals")
    high: float
    false_acceptance: float = Field(description="share of new individuals taken for a known one, by the null model")


class AnswerCurve(Part):
    """Logistic curve from an identity's log-odds to the probability that naming it is right.

    Fitted on best identities of pseudo-queries, out of fold, with `unknown_share` of new individuals.
    """

    slope: float = Field(gt=0)
    intercept: float
    unknown_share: float = Field(gt=0, lt=1)


class DatasetDecision(Part):
    """How one data set is decided: score columns to pairs, pairs to identities, the best identity to a name.

    A pair's log-odds are the weighted sum of its calibrated scores, or the pair model's where there is one. An identity
    is named where its probability reaches `threshold` and its lead over the second, in log-odds, reaches `margin`.
    """

    calibrators: dict[str, Calibrator]
    weights: dict[str, float]
    threshold: float = Field(ge=0, le=1)
    margin: float = Field(0.0, ge=0, description="0, but for decisions that earlier versions tuned with decide.rules")
    aggregation: Aggregation = "max"
    crowd_weight: float = Field(0.0, ge=0, le=0, description="always 0: an option of earlier versions")
    same_viewpoint: bool = Field(False, description="candidates seen from another side get probability 0")
    pair_model: PairModel | None = None
    fitted_on: str = Field(description="the data set whose gallery it was fitted on, `pooled`, or `default`")
    individuals_digest: str = Field("", description="digest of the individuals it was fitted on")
    validation: Validation | None = None
    answer_curve: AnswerCurve | None = Field(None, description="from log-odds to probabilities of identities")
    scale_free: bool = Field(False, description="scores are in units of the null model, so it holds for any data set")
    nulls: dict[str, Null] = Field({}, description="strangers' best score in the database, by score column")
    strangers: Strangers | None = None

    def __repr__(self) -> str:
        return f"DatasetDecision({self.sentence})"

    __str__ = __repr__

    @property
    def sentence(self) -> str:
        """The threshold and the validation score, for reading."""
        score = "" if self.validation is None else f", validation score {self.validation.nested:.3f}"
        return f"named from {self.threshold:.3f}{score}"

    @model_validator(mode="after")
    def _weights_are_calibrated(self) -> Self:
        if not self.weights or not self.weights.keys() <= self.calibrators.keys():
            raise ValueError(f"weights of {sorted(self.weights)}, but calibrators of {sorted(self.calibrators)}")
        if gone := [name for name in self.calibrators if name.endswith(("/lead", "/excess"))]:
            raise ValueError(f"the relative score {gone[0]} has gone; leave the decision out to tune a new one")
        return self


class Summary(Part):
    """The mean over data sets of the nested score, with its 95% interval, and the optimism of the tuned one."""

    nested: float
    low: float
    high: float
    optimism: float


class Decision(Part):
    """The decisions of all data sets; one that is not named takes `pooled`, which is scale-free."""

    format: Literal[2] = 2
    scores: str = Field(description="fingerprint of the settings and weights that made the raw scores")
    gallery: str = Field(description="digest of the gallery it was fitted on")
    seed: int
    datasets: dict[str, DatasetDecision]
    pooled: DatasetDecision
    summary: Summary | None = None
    preparation: Preparation | None = None

    @model_serializer(mode="wrap")
    def _with_digest(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Add a digest of the content, so that a changed file is refused."""
        content: dict[str, Any] = serialise(self)
        return {**content, "digest": content_digest(content)}

    @model_validator(mode="before")
    @classmethod
    def _is_as_written(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "digest" not in content:
            return content
        if content["digest"] != content_digest(content):
            raise ValueError("the content was changed after it was written; if you changed it, remove the digest")
        return {key: value for key, value in content.items() if key != "digest"}

    @property
    def text(self) -> str:
        """The JSON that `save` writes, and `load_decision` reads."""
        return self.model_dump_json(indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the decision as JSON, for `predict(decision=path)` and `predict --decision`.

        Raises:
            OutputError: the file cannot be written, or is a file of another kind.
        """
        check_output(Path(path), "decision")
        write_text(Path(path), self.text)

    def __repr__(self) -> str:
        parts = self.datasets or {"pooled": self.pooled}
        return f"Decision({'; '.join(f'{name}: {part.sentence}' for name, part in parts.items())})"

    __str__ = __repr__

    def of(self, dataset: str) -> DatasetDecision:
        """Return the decision that applies to a data set."""
        return self.datasets.get(dataset, self.pooled)

    def check(self, scores: str, datasets: Iterable[str] = ()) -> None:
        """Refuse to be applied to other scores than it was fitted on, or to data sets that it cannot decide.

        Raises:
            StaleArtefactError: this run's scores come from other settings or weights, or a data set is not named and
                the pooled decision is in the raw units of other data sets, as earlier versions wrote it.
        """
        others = sorted(set(datasets) - self.datasets.keys())
        if others and not self.pooled.scale_free:
            raise StaleArtefactError(
                f"The decision holds for {', '.join(self.datasets) or 'no data set'} alone and cannot be applied to "
                f"{others[0]}: its scores are on another scale. Leave the decision out to fit a new one."
            )
        if self.scores != scores:
            raise StaleArtefactError(
                f"The decision was fitted on scores of settings {self.scores}, this run's are {scores}. "
                "Use the configuration it was made with, or leave the decision out to fit a new one."
            )


def load_decision(path: Path) -> Decision:
    """Read a decision file.

    Raises:
        StaleArtefactError: it is not one, or of another format.
    """
    try:
        text = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise StaleArtefactError(f"{path}: cannot be read ({error.strerror}).") from error
    return parse_decision(text, str(path))


def parse_decision(text: str | bytes, where: str) -> Decision:
    """Read a decision's JSON; `where` says in an error whose it is.

    Raises:
        StaleArtefactError: it is none, or of another version.
    """
    try:
        return Decision.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise StaleArtefactError(
            f"{where}: not a decision file of this version ({place}: {problem['msg']}). Tune a new one."
        ) from error
