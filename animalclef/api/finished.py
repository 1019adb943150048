"""`Run`, `write_report`: a finished run, its tables, pictures and report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image as PilImage

from animalclef.api.datasets import PathLike, path_given, path_or_none
from animalclef.api.scored_frames import truth_of_frame
from animalclef.api.shown_progress import ProgressLike, shown_progress
from animalclef.config import Config
from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.sources import Source
from animalclef.data.submission import Truth, write_cluster_submission, write_submission
from animalclef.data.table import LoadedTable
from animalclef.decision.decision_model import Decision
from animalclef.pipeline.predict import Outcome
from animalclef.pipeline.results import check_target, read_outcome, summary_of, write_results
from animalclef.report.explanations import Explanations
from animalclef.report.query_picture import draw_query
from animalclef.report.write_report import write_report as write_page
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.store.finished_run import load_run as read_run
from animalclef.store.remote_run import local_run

__all__ = ["Run", "path_of", "write_report"]

Known = PathLike | pd.DataFrame | None

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: answers, candidates and decision, with pictures, a report and a submission.

    What is read from its folder later (clusters, pictures, report, submission) is refused with a `RunError` if the
    folder was moved, or holds another run by now.

    Example:
        >>> run = load_run(run_folder)
        >>> sorted(run.decision.datasets), run.show(run.predictions.image_id[0]).mode
        (['NewtID'], 'RGB')
    """

    finished: FinishedRun
    weights: Path | None = None  # folder in which published weights are looked for first
    outcome: Outcome | None = None  # where this process made the run
    asked: Config | None = None  # the settings as they were given, where this process made the run
    manifest: Mapping[str, Any] = field(default_factory=dict)  # further entries of a submission's manifest

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.finished.path

    @property
    def config(self) -> Config:
        """The settings that the run was made with, what it chose by itself among them."""
        return self.finished.config

    @property
    def decision(self) -> Decision:
        """Calibrators, weights and thresholds of every data set."""
        return self.finished.decision

    @property
    def summary(self) -> dict[str, Any]:
        """The validation score of every data set, how many queries were named or new, and warnings."""
        made = self.outcome
        warnings = () if made is None else (*made.data_warnings, *made.warnings)
        clusters, spent = (None, None) if made is None else (made.clusters, made.spent)
        return summary_of(self.decision, self.finished.predictions, warnings, clusters, spent)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per query: image_id, dataset, identity (None for a new individual), probability, threshold.

        An individual is named from the `threshold` of its data set on, so the queries nearest to it are the doubtful
        ones. With a `reviewed` log, its column of that name says what people said of the query.
        """
        answers = self.finished.predictions
        dataset = self.finished.images.dataset[[self.finished.row_of[one] for one in answers.image_id]]
        columns = {
            "image_id": answers.image_id,
            "dataset": dataset,
            "identity": pd.Series(answers.identity, dtype=object),  # pandas 3 would turn None into NaN
            "probability": answers.probability,
            "threshold": [self.decision.of(name).threshold for name in dataset],
        }
        said = {} if answers.reviewed is None else {"reviewed": answers.reviewed}
        return pd.DataFrame({**columns, **said})

    @cached_property
    def skipped(self) -> pd.DataFrame:
        """One row per photograph that could not be used: image_id, path, split, reason. A query of these is "new"."""
        rows = [(one.image_id, one.path, one.split, one.reason) for one in self.finished.skipped]
        return pd.DataFrame(rows, columns=["image_id", "path", "split", "reason"])

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """One row per query and candidate, best first: ids, identity, dataset, probabilities and the raw scores."""
        ranked = self.finished.ranked
        names = ("query_id", "gallery_id", "identity", "dataset", "probability", "identity_probability")
        return pd.DataFrame({name: getattr(ranked, name) for name in names} | dict(ranked.columns))

    @cached_property
    def clusters(self) -> pd.DataFrame | None:
        """One row per query: image_id, dataset, cluster, individual (a name, or new_1 ...); None without grouping.

        The individual of a photograph that was skipped is None.
        """
        self.finished.check_unchanged()
        clusters = read_clusters(self.finished)
        return None if clusters is None else clusters.table

    def show(self, query_id: str, *, candidates: int = 4, explain: bool = False) -> PilImage.Image:
        """Draw a query beside its best individuals, with the matched keypoints; `explain` adds the embedding's view.

        `candidates` is the number of individuals. Each is shown by its best photograph. A photograph that is no longer
        there is an empty box, and a warning says how to give the folder.

        Raises:
            DataError: the run has no such query.
            RunError: the run is gone, or was changed since.
        """
        self.finished.check_unchanged()
        explanations = Explanations(self.finished, None, self.weights) if explain else None
        return PilImage.fromarray(draw_query(self.finished, str(query_id), candidates, explanations, self.weights))

    def report(self, path: PathLike | None = None, *, truth: Known = None, candidates: int = 5) -> Path:
        """Write the report to a page (.html) or into a folder, and return its page; see `write_report`."""
        return write_report(self, path, truth=truth, candidates=candidates)

    def to_submission(self, path: PathLike) -> Path:
        """Write a submission: image_id and identity, `new_individual` for an animal that the database does not have.

        Of a clustering task: image_id and cluster. The answers for people, settings, decision, figures and manifest are
        written beside it, as the command line does. A run folder does not hold all of them: of a run that was opened
        (`load_run`) the settings are `config`, warnings, device and digests of weights are left out, and so are the
        next candidates of a query that people named or excluded an individual for.

        Raises:
            OutputError: the file cannot be written, another file is there, or its ending is another format's (.xlsx).
            RunError: the run is gone, or was changed since.

        Example:
            >>> load_run(run_folder).to_submission(folder / "submission.csv").name
            'submission.csv'
        """
        target, finished = path_given(path, "path", "the name of a CSV file"), self.finished
        finished.check_unchanged()
        check_target(target, self.path)
        made = self.outcome or read_outcome(finished)
        clusters = read_clusters(finished) if finished.is_clustering else None
        loaded = LoadedTable(Source(finished.path, None), finished.images, [], finished.order, clusters is not None)
        if clusters is None:
            write_submission(target, finished.predictions, loaded)
        else:
            write_cluster_submission(target, clusters, loaded)
        settings = self.asked or self.config
        write_results(target, made, settings, self.path, finished.data, images=finished.images, **self.manifest)
        return target

    def __repr__(self) -> str:
        identity = self.predictions.identity
        named = int(identity.notna().sum())
        return f"Run({counted(len(identity), 'query')}, {named} named, {len(identity) - named} new, in {self.path})"

    def _repr_html_(self) -> str:
        shown = self.predictions.fillna({"identity": NEW_INDIVIDUAL})
        return f"<p>{self!r}</p>" + shown.to_html(max_rows=20, index=False, float_format="{:.3f}".format)


def write_report(
    run: Run | PathLike,
    path: PathLike | None = None,
    *,
    truth: Known = None,
    candidates: int = 5,
    matched: int | None = None,
    masks: PathLike | None = None,
    explain: int = 0,
    layer: str | None = None,
    workers: int | None = None,
    progress: ProgressLike = None,
) -> Path:
    """Write a run's report as HTML: scores, charts, every query beside its best individuals. Return the page.

    Without `path` it is report.html in the run folder, or report/index.html above 500 queries. With `truth` (a file or
    a DataFrame, as for `competition_score`) outcomes and the score are added. `candidates` is the number of individuals
    beside a query, each shown by its best photograph. `matched` limits those whose keypoints are kept; matches outside
    `masks` are marked; for the first `explain` queries the embedding's view is added. One warning tells how many
    photographs are no longer where they were.

    Raises:
        DataError: the truth is of other data.
        OutputError: the place cannot be written to, holds something else, or has the ending of another format.
        RunError: the run is gone, or was changed since.

    Example:
        >>> write_report(run_folder, folder / "report.html").name
        'report.html'
    """
    opened = run if isinstance(run, Run) else Run(read_run(path_of(run)))
    opened.finished.check_unchanged()
    written = write_page(
        opened.finished, _truth_of(truth, opened.config), path_or_none(path, "path"), candidates, cores(workers),
        shown_progress(progress), matched=matched, masks=path_or_none(masks, "masks"), weights=opened.weights,
        explained=explain, layer=layer,
    )  # fmt: skip
    for note in written.notes:
        logger.warning("%s", note)
    return written.page


def _truth_of(truth: Known, config: Config) -> Path | Truth | None:
    if isinstance(truth, pd.DataFrame):
        return truth_of_frame(truth, merge_case=config.data.merge_case)
    return path_or_none(truth, "truth", "a truth file or a DataFrame")


def path_of(run: Run | PathLike) -> Path:
    """Return the folder of a run; of one in a bucket its copy.

    Raises:
        RunError: it is a `Run` that is gone, or was changed since.
    """
    if not isinstance(run, Run):
        return local_run(path_given(run, "run", "a finished run as load_run returns it, or its folder"))
    run.finished.check_unchanged()
    return run.path
