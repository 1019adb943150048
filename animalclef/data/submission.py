"""`submission.csv` and `truth.csv`: written whole, read strictly."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.names import one_spelling
from animalclef.data.table import LoadedTable
from animalclef.data.table_file import Problem, Table, parse_table, read_bytes_of_table, read_table
from animalclef.errors import SubmissionError
from animalclef.runtime.atomic_files import csv_text, write_text
from animalclef.structures import Predictions, StrArray
from animalclef.structures.arrays import BoolArray, text_array
from animalclef.structures.clusters import Clusters

__all__ = [
    "KNOWN_WORDS",
    "Truth",
    "check_submission",
    "check_submission_file",
    "read_cluster_submission",
    "read_submission",
    "read_truth",
    "render_submission",
    "write_cluster_submission",
    "write_submission",
]

KNOWN_WORDS = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}
_MOST = 20  # problems of one kind that are listed one by one


@dataclass(frozen=True, eq=False)
class Truth:
    """What the queries really show. Only `score` and `evaluate` read one."""

    image_id: StrArray
    identity: StrArray
    dataset: StrArray
    known: BoolArray


def render_submission(predictions: Predictions, order: Sequence[str]) -> str:
    """Return the text of a submission: every id of `order` once, `new_individual` for an unknown animal."""
    answer = dict(zip(predictions.image_id, predictions.identity, strict=True))
    return csv_text(["image_id", "identity"], [(image_id, answer[image_id] or NEW_INDIVIDUAL) for image_id in order])


def write_submission(path: Path, predictions: Predictions, loaded: LoadedTable) -> None:
    """Check a submission and write it whole.

    Raises:
        SubmissionError: the predictions do not answer every query once.
        OutputError: the file cannot be written.
    """
    if sorted(predictions.image_id) != sorted(loaded.submission_id):
        raise SubmissionError(f"{path}: {len(predictions.image_id)} answers, {len(loaded.submission_id)} queries.")
    _write_checked(path, render_submission(predictions, loaded.submission_id), loaded)


def write_cluster_submission(path: Path, clusters: Clusters, loaded: LoadedTable) -> None:
    """Check a submission of a clustering task (image_id, cluster) and write it whole.

    Raises:
        SubmissionError: the clusters do not hold every query once.
        OutputError: the file cannot be written.
    """
    label = dict(zip(clusters.image_id, clusters.label, strict=True))
    if sorted(label) != sorted(loaded.submission_id):
        raise SubmissionError(f"{path}: {len(label)} photographs in clusters, {len(loaded.submission_id)} queries.")
    text = csv_text(["image_id", "cluster"], [(one, label[one]) for one in loaded.submission_id])
    _write_checked(path, text, replace(loaded, is_clustering=True))


def _write_checked(path: Path, text: str, loaded: LoadedTable) -> None:
    _refuse(check_submission(parse_table(text, path), loaded))
    write_text(path, text)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise SubmissionError(str(problems[0]))


def check_submission(table: Table, loaded: LoadedTable) -> list[Problem]:
    """Return everything that would make the competition refuse, or mis-score, a submission."""
    name = table.path.name
    wanted = "cluster" if loaded.is_clustering else "identity"
    problems = [problem for problem in table.problems if problem.fatal]
    if shape := _check_columns(table, wanted):
        return [*problems, *shape]
    problems += _check_ids(table, loaded)
    homes: dict[str, set[str]] = defaultdict(set)
    for who, home in zip(loaded.images.identity, loaded.images.dataset, strict=True):
        homes[who or NEW_INDIVIDUAL].add(home)
    for spelling, used in loaded.merged:
        homes[spelling] |= homes[used]
    dataset = dict(zip(loaded.images.image_id, loaded.images.dataset, strict=True))
    for line, image_id, answer in zip(table.lines, table.column("image_id"), table.column(wanted), strict=True):
        of = dataset.get(image_id)
        if of is None:
            continue
        sentence = _check_cluster(answer, of) if loaded.is_clustering else _check_identity(answer, of, homes)
        if sentence:
            problems.append(Problem(name, line, sentence))
    return problems


def read_submission(path: Path) -> dict[str, str | None]:
    """Return the answers by image_id, `None` for a new individual.

    Raises:
        SubmissionError: a column is missing, a row has the wrong length, or an id stands twice.
    """
    table = read_table(path)
    _refuse(_check_columns(table, "identity") or _broken_rows(table))
    return {
        image_id: None if answer == NEW_INDIVIDUAL else answer
        for image_id, answer in zip(table.column("image_id"), table.column("identity"), strict=True)
    }


def read_cluster_submission(path: Path) -> dict[str, str]:
    """Return the cluster labels by image_id.

    Raises:
        SubmissionError: a column is missing, a row has the wrong length, or an id stands twice.
    """
    table = read_table(path)
    missing = [column for column in ("image_id", "cluster") if column not in table.columns]
    _refuse([Problem(path.name, 1, f"the column {column} is missing.") for column in missing] or _broken_rows(table))
    return dict(zip(table.column("image_id"), table.column("cluster"), strict=True))


def read_truth(path: Path, *, merge_case: bool = True) -> Truth:
    """Read image_id, identity, dataset and known (1 or 0) of every query.

    With `merge_case` an individual whose names differ by case or spaces gets one spelling, as in a table.

    Raises:
        SubmissionError: a column is missing, a row has the wrong length, an id stands twice, `known` is neither 1 nor
            0, or one individual is called both known and unknown.
    """
    table = read_table(path)
    if absent := [one for one in ("image_id", "identity", "dataset", "known") if one not in table.columns]:
        raise SubmissionError(
            f"{path}: {', '.join(absent)}: no such column; there are {', '.join(table.columns)}. A truth file has "
            "image_id (as submitted), identity, dataset, and known (1: the database has the individual, 0: new)."
        )
    _refuse(_broken_rows(table))
    known = [KNOWN_WORDS.get(cell.lower()) for cell in table.column("known")]
    if None in known:
        at = known.index(None)
        cell = table.column("known")[at].lower()
        raise SubmissionError(f"{path}, line {table.lines[at]}: known: expected 1 or 0, got {cell!r}.")
    identity, dataset = table.column("identity"), table.column("dataset")
    identity = one_spelling(identity, dataset, merge=merge_case).names
    _refuse_both(path, table, identity, known)
    return Truth(
        text_array(table.column("image_id")), text_array(identity), text_array(dataset), np.array(known, dtype=bool)
    )


def _refuse_both(path: Path, table: Table, who: Sequence[str], known: Sequence[bool | None]) -> None:
    """Refuse a truth that calls one individual of a data set both known and unknown."""
    seen: dict[tuple[str, str], tuple[bool | None, int]] = {}
    for dataset, identity, is_known, line in zip(table.column("dataset"), who, known, table.lines, strict=True):
        earlier, first = seen.setdefault((dataset, identity), (is_known, line))
        if earlier != is_known and identity not in ("", NEW_INDIVIDUAL):
            word = "known" if earlier else "unknown"
            raise SubmissionError(
                f"{path}, line {line}: {identity} of {dataset} is {word} on line {first}, and not here."
            )


def _check_columns(table: Table, wanted: str) -> list[Problem]:
    if table.columns == ("image_id", wanted):
        return []
    have, more = ", ".join(column or "(no name)" for column in table.columns), ""
    hint = " An index column was saved with it: write with index=False."
    if {"image_id", wanted} <= set(table.columns):
        more, hint = " and no others", hint if table.columns[0] in ("", "Unnamed: 0") else ""
    sentence = f"expected the columns image_id,{wanted}{more}, got {have}.{hint if more else ''}"
    return [Problem(table.path.name, 1, sentence)]


def _broken_rows(table: Table) -> list[Problem]:
    return [*(problem for problem in table.problems if problem.fatal), *_duplicates(table)]


def _duplicates(table: Table) -> list[Problem]:
    seen: dict[str, int] = {}
    problems = []
    for line, image_id in zip(table.lines, table.column("image_id"), strict=True):
        if (first := seen.setdefault(image_id, line)) != line:
            problems.append(Problem(table.path.name, line, f"image_id {image_id} stands already on line {first}."))
    return problems


def _check_ids(table: Table, loaded: LoadedTable) -> list[Problem]:
    name, ids, wanted = table.path.name, table.column("image_id"), loaded.submission_id
    known, given = set(wanted), set(ids)
    problems = _duplicates(table) + [
        Problem(name, line, f"image_id {image_id} is no query of the data.")
        for line, image_id in zip(table.lines, ids, strict=True)
        if image_id not in known
    ]
    if missing := [image_id for image_id in wanted if image_id not in given]:
        shown = ", ".join(missing[:5])
        problems.append(Problem(name, None, f"queries without a row: {len(missing)} (first: {shown})."))
    if not problems and ids != wanted:
        at = next(place for place, pair in enumerate(zip(ids, wanted, strict=True)) if pair[0] != pair[1])
        message = f"wrong order: expected image_id {wanted[at]}, got {ids[at]}; keep the sample's."
        problems.append(Problem(name, table.lines[at], message))
    return problems


def _check_identity(answer: str, dataset: str, homes: Mapping[str, set[str]]) -> str | None:
    """Return what is wrong with an answer; `homes` holds the data sets of every individual."""
    if answer == NEW_INDIVIDUAL or dataset in homes.get(answer, ()):
        return None
    if answer in homes:
        return f"identity {answer} is an individual of {min(homes[answer])}, the query is of {dataset}."
    if answer.lower() in ("", "nan"):
        return f"identity is empty; write {NEW_INDIVIDUAL} for an unknown animal."
    if re.fullmatch(r"-?\d+(\.0)?", answer):
        return f"identity {answer} is a number, no individual of the database; write names, not integer labels."
    return f"identity {answer} is no individual of the database; write a name from it, or {NEW_INDIVIDUAL}."


def _check_cluster(answer: str, dataset: str) -> str | None:
    if re.fullmatch(rf"cluster_{re.escape(dataset)}_\d+", answer):
        return None
    return f"cluster {answer!r}: expected cluster_{dataset}_ and a number."


def check_submission_file(path: Path, loaded: LoadedTable) -> list[Problem]:
    """Return everything that would make the competition refuse, or mis-score, a submission file.

    `read_table` forgives semicolons, tabs, UTF-16, spaces around cells and repeated headers. The competition does not.

    Raises:
        DataError: the file is absent or empty, or no CSV.
    """
    content, name = read_bytes_of_table(path), path.name
    if content[:4] == b"PK\x03\x04":
        return [Problem(name, None, "an .xlsx workbook; the competition reads CSV. Save it as CSV (UTF-8).")]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return [Problem(name, None, "the file is UTF-16; the competition reads UTF-8. Save it as CSV (UTF-8).")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [Problem(name, None, "not a text file in UTF-8. Save it as CSV (UTF-8).")]
    if "\x00" in text:
        return [Problem(name, None, "not a text file. Save it as CSV (UTF-8).")]
    if not text.strip():
        return [Problem(name, None, "the file is empty; expected a header line and a row for every query.")]
    table = parse_table(text, path)
    repeated = [
        Problem(one.file, one.line, f"{what}; the competition reads it as {taken}. Remove the line.")
        for one in table.problems
        for what, taken in (("the header is repeated here", "a row"), ("a comment before the header", "the header"))
        if one.message.startswith(what)
    ]
    written = _delimiter_problems(text, name) or _cell_problems(text, name)
    return [*written, *repeated, *check_submission(table, loaded)]


def _delimiter_problems(text: str, name: str) -> list[Problem]:
    header, signs = text.partition("\n")[0], ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"))
    if header.lower().strip('" ').startswith("sep="):
        return [Problem(name, 1, "a line for Excel; the competition reads it as the header. Remove it.")]
    found = [word for sign, word in signs if header.count(sign) > header.count(",")]
    sentence = "the cells are separated by {}; the competition reads commas. Save it with commas."
    return [Problem(name, 1, sentence.format(word)) for word in found[:1]]


def _cell_problems(text: str, name: str) -> list[Problem]:
    """Return the lines with spaces around a cell: a name with a space is another name."""
    reader, start, problems = csv.reader(io.StringIO(text, newline="")), 1, []
    try:
        for cells in reader:
            spaced = [cell for cell in cells if cell != cell.strip()]
            if spaced and any(map(str.strip, cells)):
                problems.append(Problem(name, start, f"spaces around {spaced[0][:60]!r}; the competition keeps them."))
            start = reader.line_num + 1
    except csv.Error:  # `parse_table` says where
        return []
    more = len(problems) - _MOST
    return problems[:_MOST] + ([Problem(name, None, f"and {more} more lines with spaces.")] if more > 0 else [])
