"""`answers.csv`: what was answered for every query, for a biologist to read."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from animalclef.data.table_file import read_table
from animalclef.errors import DataError
from animalclef.runtime.digests import check_answers, check_result
from animalclef.structures import ImageTable, Predictions, RankedCandidates, Skipped
from animalclef.structures.clusters import Clusters

__all__ = ["ANSWERS_COLUMNS", "Answer", "answer_rows", "answers_path", "read_answers"]

ANSWERS_COLUMNS = (
    "path", "answer", "probability", "threshold", "next_candidate", "next_probability", "third_candidate",
    "third_probability", "skipped", "image_id", "dataset", "individual",
)  # fmt: skip
_NEW = "new"


@dataclass(frozen=True)
class Answer:
    """One query's answer; `individual` is `None` for one that is not in the database."""

    image_id: str
    path: str
    individual: str | None
    probability: float  # of the best candidate
    following: tuple[tuple[str, float], ...]  # the next two candidates; of a new individual the best two
    skipped: str  # why the photograph was not used, "" where it was
    dataset: str = ""
    reviewed: str = ""  # what people said of the query, "" where they said nothing
    group: str = ""  # of a new individual: the name that its photographs share, such as new_1; "" where not grouped


def answers_path(submission: Path, run: Path | None) -> Path:
    """Return where the answers of a submission lie: `answers.csv`, or NAME.answers.csv beside NAME.csv.

    In the `run` folder itself, which has an `answers.csv` of its own, it is `submission.answers.csv`.
    """
    is_inside = run is not None and submission.parent.resolve() == run.resolve()
    is_plain = submission.name == "submission.csv" and not is_inside
    return submission.with_name("answers.csv" if is_plain else f"{submission.stem}.answers.csv")


def answer_rows(
    images: ImageTable,
    predictions: Predictions,
    ranked: RankedCandidates,
    thresholds: Mapping[str, float],
    skipped: Sequence[Skipped],
    clusters: Clusters | None = None,
    excluded: Callable[[str], Container[str]] = lambda _: (),
) -> list[list[str]]:
    """Return the rows of `answers.csv`, in the order of the predictions; columns are `ANSWERS_COLUMNS`.

    `thresholds` are by data set. The column `individual` is the answer, with `new_1`, `new_2` ... for the new
    individuals of `clusters`; it is empty for a new one where these were not grouped, and for a skipped photograph.
    Where people's answers took part, a last column `reviewed` says what they said; the individuals that they `excluded`
    for an image_id are no next candidates.
    """
    grouped = {} if clusters is None else dict(zip(clusters.image_id, clusters.name, strict=True))
    row_of = images.row_of
    reasons = {item.image_id: item.reason for item in skipped}
    candidates = ranked.individuals
    rows = []
    answered = zip(predictions.image_id, predictions.identity, predictions.probability, strict=True)
    for at, (image_id, who, probability) in enumerate(answered):
        row = row_of[image_id]
        dataset = str(images.dataset[row])
        ordered = sorted(candidates.get(image_id, {}).items(), key=lambda pair: -pair[1])
        left_out = excluded(image_id)
        others = [(name, value) for name, value in ordered if name != who and name not in left_out][:2]
        cells = [cell for name, value in others for cell in (name, _number(value))] + [""] * (4 - 2 * len(others))
        answer = _NEW if who is None else str(who)
        known = [str(images.path[row]), answer, _number(float(probability)), _number(thresholds[dataset])]
        individual = "" if image_id in reasons else str(grouped.get(image_id, "" if who is None else who))
        said = [] if predictions.reviewed is None else [str(predictions.reviewed[at])]
        rows.append([*known, *cells, reasons.get(image_id, ""), str(image_id), dataset, individual, *said])
    return rows


def read_answers(path: Path) -> list[Answer]:
    """Read `answers.csv`.

    Raises:
        DataError: a column is missing, or a probability is no number.
        StaleArtefactError: it lies in a run folder or beside its manifest, and is not what was written there.
    """
    check_result(path)
    check_answers(path)
    table = read_table(path)
    absent = [column for column in ANSWERS_COLUMNS if column not in table.columns and column != "individual"]
    if absent:
        raise DataError(f"{path}: the column {absent[0]} is missing. Give the answers.csv that predict wrote.")
    answers = []
    for line, row in zip(table.lines, table.rows, strict=True):
        try:
            probability = float(row["probability"] or 0)
            pairs = [(row[f"{place}_candidate"], row[f"{place}_probability"]) for place in ("next", "third")]
            following = tuple((name, float(value)) for name, value in pairs if name)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: a probability is no number.") from error
        if not all(0 <= value <= 1 for value in (probability, *(value for _, value in following))):
            raise DataError(f"{path}, line {line}: a probability is not between 0 and 1.")
        is_new = row["answer"] == _NEW and row.get("individual") != _NEW  # an individual may be called "new"
        who, group = (None, row.get("individual", "")) if is_new else (row["answer"], "")
        said = row["dataset"], row.get("reviewed", ""), group
        answers.append(Answer(row["image_id"], row["path"], who, probability, following, row["skipped"], *said))
    return answers


def _number(value: float) -> str:
    return f"{value:.4g}"
