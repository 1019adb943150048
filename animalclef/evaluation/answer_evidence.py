"""Find what the answers of a submission rest on: in its run folder, or in the files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from animalclef.data.answers import read_answers
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.errors import AnimalClefError, RunError, SubmissionError
from animalclef.runtime.digests import file_digest, json_object
from animalclef.store.finished_run import FinishedRun, load_run

__all__ = ["Answers", "Explanation", "explain_beside", "explain_pair", "explain_with", "open_runs"]

Answers = Mapping[str, str | None]

_ROUNDED = 5e-4  # largest relative error of a number of four digits, as lists of answers hold it


@dataclass(frozen=True)
class Explanation:
    """What a run, or the files beside a submission, hold about the queries."""

    path: Path  # of the run, or of the submission
    dataset: Mapping[str, str]  # of every query
    answers: Answers
    first: Mapping[str, tuple[str, float]]  # the best candidate's individual and its probability
    decision: Decision
    skipped: frozenset[str]
    reviewed: frozenset[str] = frozenset()  # queries that people's answers decided
    error: float = 0.0  # largest relative error of a probability

    def differing(self, answers: Answers) -> list[str]:
        """Return the queries that are answered in another way here, or are not here at all."""
        return [one for one, who in answers.items() if one not in self.dataset or self.answers.get(one) != who]


def open_runs(paths: Sequence[Path]) -> list[Explanation | RunError]:
    """Explain with each run folder; an error stands for one that holds no finished run any more.

    Raises:
        RunError: there is no such folder.
    """
    found: list[Explanation | RunError] = []
    for path in paths:
        try:
            found.append(explain_with(load_run(path)))
        except RunError as error:
            if not path.is_dir():
                raise
            found.append(error)
    return found


def explain_with(run: FinishedRun) -> Explanation:
    """Return what a finished run says about its answers."""
    queries, ranked, answers = run.images.queries, run.ranked, run.predictions
    best = {query_id: rows.start for query_id, rows in run.rows_of.items()}
    said = [] if answers.reviewed is None else zip(answers.image_id, answers.reviewed, strict=True)
    return Explanation(
        path=run.path,
        dataset=dict(zip(queries.image_id, queries.dataset, strict=True)),
        answers=dict(zip(answers.image_id, answers.identity, strict=True)),
        first={one: (ranked.identity[row], float(ranked.identity_probability[row])) for one, row in best.items()},
        decision=run.decision,
        skipped=frozenset(item.image_id for item in run.skipped),
        reviewed=frozenset(image_id for image_id, what in said if what),
    )


def explain_beside(submission: Path) -> Explanation | None:
    """Return what the files beside a submission say about its answers; `None` where they do not belong to it as it is.

    The manifest holds the digests of the submission, of the list of answers and of the decision.
    """
    manifest = json_object(submission.with_suffix(".manifest.json"))
    answers, decision = (submission.with_name(Path(str(manifest.get("answers"))).name),
                         submission.with_suffix(".decision.json"))  # fmt: skip
    written = {"submission_sha256": submission, "answers_sha256": answers, "decision_sha256": decision}
    if not all(path.is_file() and manifest.get(key) == file_digest(path) for key, path in written.items()):
        return None
    try:
        listed, decided = read_answers(answers), load_decision(decision)
    except AnimalClefError:  # of another version
        return None
    best = {one.image_id: (one.individual or next((who for who, _ in one.following), None), one.probability)
            for one in listed}  # fmt: skip
    return Explanation(
        path=submission,
        dataset={one.image_id: one.dataset for one in listed},
        answers={one.image_id: one.individual for one in listed},
        first={image_id: (who, probability) for image_id, (who, probability) in best.items() if who is not None},
        decision=decided,
        skipped=frozenset(one.image_id for one in listed if one.skipped),
        reviewed=frozenset(one.image_id for one in listed if one.reviewed),
        error=_ROUNDED,
    )


def explain_pair(
    files: tuple[Path, Path], answers: tuple[Answers, Answers], runs: Sequence[Explanation | RunError] = ()
) -> tuple[tuple[Explanation | None, Explanation | None], list[str]]:
    """Explain two submissions, each with its run, or with the files beside it where the run holds other answers by now.

    `runs` are none, one for both, or A's and B's. A submission without either has no explanation. Also returned is a
    sentence for each submission whose run was not used.

    Raises:
        RunError: a run holds other answers than its submission, and no files beside the submission explain them.
        SubmissionError: a query of the submission is not in its run.
    """
    found: list[Explanation | None] = []
    lost: list[tuple[Path, Answers, Explanation | RunError]] = []
    notes = []
    for path, given, run in zip(files, answers, (*runs, *runs)[:2] or (None, None), strict=True):
        beside = explain_beside(path)
        beside = None if beside is None or beside.differing(given) else beside
        same = beside is None or (isinstance(run, Explanation) and beside.decision == run.decision)
        if isinstance(run, Explanation) and same and not run.differing(given):
            found.append(run)
            continue
        found.append(beside)
        if run is not None and beside is not None:
            notes.append(_note(path, run))
        elif run is not None:
            lost.append((path, given, run))
    if lost and (len(runs) > 1 or len(lost) == len(files)):
        raise _refusal(lost[0], " or ".join(str(path) for path, _, run in lost if run is lost[0][2]))
    return (found[0], found[1]), notes


def _note(path: Path, run: Explanation | RunError) -> str:
    why = run if isinstance(run, RunError) else f"{run.path} was changed since {path} was written, or did not write it."
    return (
        f"{why} The causes come from the files beside {path.name} (answers, "
        "probabilities, thresholds); its keypoint matches and further candidates cannot be compared."
    )


def _refusal(lost: tuple[Path, Answers, Explanation | RunError], names: str) -> AnimalClefError:
    path, given, run = lost
    if isinstance(run, RunError):
        return run
    if strays := [image_id for image_id in given if image_id not in run.dataset]:
        return SubmissionError(
            f"{path}: image_id {strays[0]} is no query of {run.path}; give the run of these submissions."
        )
    differing = run.differing(given)
    return RunError(
        f"{run.path}: its answers are not those of {names} ({len(differing)} differ, first: {differing[0]}), so it "
        "cannot explain them, and neither can the files beside. The run was changed since, or wrote another "
        "submission. Run predict again with another --run, or leave this --run out."
    )
