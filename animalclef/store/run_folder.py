"""The folder of one run: its files and their formats, and a lock against other processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from animalclef.data.encounters import Encounters
from animalclef.errors import OutputError, StaleArtefactError
from animalclef.runtime.atomic_files import (
    check_writable,
    make_folder,
    remove_parts,
    write_bytes,
    write_csv,
    write_text,
)
from animalclef.runtime.bucket_address import refuse_address
from animalclef.runtime.digests import RESULTS, json_object
from animalclef.runtime.file_lock import locked_folder
from animalclef.runtime.output_guard import RUN_MARKER
from animalclef.store.catalogue_places import is_catalogue, refuse_catalogue_below, refuse_catalogue_run
from animalclef.structures import ImageTable, Predictions, RankedCandidates, Skipped
from animalclef.structures.images import box_text

__all__ = ["RunFolder"]

_EARLIER = "earlier"
_OTHER_RESULTS = (
    RUN_MARKER, "clusters.csv", "clusters.json", "cluster_links.csv", "prepare.json", "prepare.csv", "timings.json",
    "validation.safetensors",
)  # fmt: skip


class RunFolder:
    """Paths and files of a run folder; a file that depends on settings has their fingerprint in its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decision = path / "decision.json"  # that the last `predict` applied
        self.finished = path / "finished.json"  # written last: the results in this folder belong together
        self.candidates = path / "candidates.csv"  # ranked, of every query, with raw scores
        self.sources = path / "sources.csv"  # rank of each candidate in each candidate source
        self.table = path / "table.csv"  # every photograph; queries have no identity, a skipped one has `used` 0
        self.skipped = path / "set_aside.csv"  # photographs that could not be used, and why
        self.encounters = path / "encounters.csv"
        self.order = path / "order.csv"  # the queries in the order of the submission
        self.answers = path / "answers.csv"  # to every query
        self.clusters = path / "clusters.csv"  # the individual on every photograph without a name, known or new
        self.pseudo_queries = path / "validation.safetensors"  # that the decision was tuned on
        self.timings = path / "timings.json"  # seconds of every stage of the last `predict`; never the same twice

    def decision_of(self, fingerprint: str) -> Path:
        """Return the file of the decision tuned with these settings on this data."""
        return self.path / "decisions" / f"{fingerprint}.json"

    @property
    def home(self) -> Path:
        """The run folder whose stores hold the features: for results that `keep_results` wrote, that of the run."""
        above = self.path.resolve().parent
        is_kept = above.name == _EARLIER and (above.parent / RUN_MARKER).is_file()
        return above.parent if is_kept else self.path

    def earlier(self, name: str) -> RunFolder:
        """Return where `keep_results` keeps the results of this name."""
        return RunFolder(self.path / _EARLIER / name)

    def keep_results(self, name: str) -> None:
        """Copy the results of a finished run, which the next run in this folder replaces; its stores stay here.

        Raises:
            OutputError: a file cannot be written.
        """
        to, finished = self.earlier(name), self.finished.read_bytes()
        if to.finished.is_file() and to.finished.read_bytes() == finished:
            return
        make_folder(to.path)
        to.finished.unlink(missing_ok=True)
        for file in (*RESULTS, *_OTHER_RESULTS):
            if (self.path / file).is_file():
                write_bytes(to.path / file, (self.path / file).read_bytes())
            else:
                (to.path / file).unlink(missing_ok=True)
        write_bytes(to.finished, finished)  # last: the results belong together

    @property
    def data_digest(self) -> str:
        """The digest of the data of a finished run."""
        return str(json.loads(self.finished.read_text(encoding="utf-8"))["data"])

    def store(self, kind: str, fingerprint: str) -> Path:
        """Return the folder of one kind of entries."""
        return self.path / kind / fingerprint

    @property
    def advice(self) -> str:
        """Say what to do where this folder holds no finished run."""
        if is_catalogue(self.path):
            return f"This is a catalogue; its run is in {self.path / 'run'}."
        if not (self.path / RUN_MARKER).is_file():
            return "This is no run folder, which `animalclef predict --run` makes."
        return self.again

    @property
    def again(self) -> str:
        """Say how the run is made again."""
        command = "cluster" if json_object(self.finished).get("made_by") == "cluster" else "predict"
        return f"Run `animalclef {command} --run {self.path}` again with its data and settings; finished work is kept."

    def refuse_run_of_others(self, command: str, *, overwrite: bool = False) -> None:
        """Check that a command may keep its work here: no other command finished a run in this folder.

        With `overwrite` it may, if the folder belongs to no catalogue and none lies in it. A damaged `finished.json`
        counts as one of `predict`, which makes it again. Ensembles of an earlier version are known by the name of
        their settings.

        Raises:
            OutputError: it holds a finished run of another command, or the results of a catalogue.
        """
        refuse_address(self.path)
        refuse_catalogue_run(self.path)
        if overwrite:
            refuse_catalogue_below(self.path)
        if overwrite or not self.finished.exists():
            return
        settings = json_object(self.finished)
        was_ensemble = (settings.get("config") or {}).get("name") == "ensemble"
        made_by = settings.get("made_by", "ensemble" if was_ensemble else "predict")
        if made_by == command:
            return
        instead = ""
        if (command, made_by) == ("cluster", "predict"):
            instead = " To group the photographs of that run, leave out --data (in Python: pass the run as the data)."
        raise OutputError(
            f"{self.path}: this folder holds a finished run of {made_by}, and {command} would overwrite its results. "
            f"Use another run folder.{instead}"
        )

    @contextmanager
    def claimed(self, *, by_catalogue: bool = False) -> Iterator[None]:
        """Lock the folder against other processes; the run folder of a catalogue is for the catalogue alone.

        Raises:
            RunInUseError: another process works in the folder.
            OutputError: the folder cannot be written to, or holds the results of a catalogue.
        """
        if not by_catalogue:
            refuse_catalogue_run(self.path)
        check_writable(self.path)
        busy = "another process is working in this run. Wait, or use another run folder."
        with locked_folder(self.path, busy, "--run"):
            yield

    def open(self, *, overwrite: bool) -> None:
        """Mark the folder as a run; with `overwrite`, empty it first.

        Raises:
            StaleArtefactError: the folder holds something that is not a run.
            OutputError: it would be emptied, and holds a catalogue.
        """
        marker = self.path / RUN_MARKER
        strangers = [] if marker.exists() else [item for item in self.path.iterdir() if not _is_ours(item)]
        if strangers:
            held = strangers[0].name
            raise StaleArtefactError(f"{self.path}: not a run folder (it holds {held}). Use another folder.")
        if overwrite:
            refuse_catalogue_below(self.path)
        remove_parts(self.path)
        if overwrite:
            for item in self.path.iterdir():
                if item.name not in (".lock", RUN_MARKER):
                    _remove(item)
        if not marker.exists():
            write_text(marker, json.dumps({"format": 1}) + "\n")

    def write_set_aside(self, items: Iterable[Skipped]) -> None:
        """Write `set_aside.csv`: the skipped photographs."""
        rows = [(item.image_id, item.path, item.split, item.reason) for item in items]
        write_csv(self.skipped, ("image_id", "path", "split", "reason"), rows)

    def write_encounters(self, encounters: Encounters) -> None:
        """Write `encounters.csv`, and the linked near-duplicates into `near_duplicates.csv`."""
        write_csv(self.encounters, ("image_id", "encounter"), sorted(encounters.of.items()))
        write_csv(self.path / "near_duplicates.csv", ("image_id", "other_image_id", "correlation"), encounters.links)

    def write_table(self, images: ImageTable, used: ImageTable) -> None:
        """Write `table.csv`: the columns for reports and notebooks; `used` are the rows that were not skipped."""
        key_of = dict(zip(used.image_id, used.key, strict=True))
        columns = {
            "image_id": images.image_id,
            "identity": [who or "" for who in images.identity],
            "path": images.path,
            "dataset": images.dataset,
            "split": ["query" if query else "gallery" for query in images.is_query],
            "viewpoint": images.viewpoint,
            "date": images.date,
            "species": images.species,
            "used": [int(one in key_of) for one in images.image_id],
            "key": [key_of.get(one, "") for one in images.image_id],
            "bbox_xywhr": list(map(box_text, images.bbox_xywhr)),
        }
        columns |= {} if images.mask is None else {"mask": images.mask}
        write_csv(self.table, tuple(columns), zip(*columns.values(), strict=True))

    def write_order(self, submission_id: Sequence[str]) -> None:
        """Write `order.csv`: the queries in the order of the submission."""
        write_csv(self.order, ("image_id",), [(one,) for one in submission_id])

    def write_answers(self, predictions: Predictions) -> None:
        """Write `answers.csv`: the answer to every query; an empty identity is a new individual.

        The column `reviewed` is there only if people's answers took part.
        """
        columns = {
            "image_id": predictions.image_id,
            "identity": [who or "" for who in predictions.identity],
            "probability": [f"{value:.6g}" for value in predictions.probability.tolist()],
        }
        columns |= {} if predictions.reviewed is None else {"reviewed": predictions.reviewed}
        write_csv(self.answers, tuple(columns), zip(*columns.values(), strict=True))

    def write_timings(self, seconds: Mapping[str, float], counts: Mapping[str, int]) -> None:
        """Write `timings.json`: seconds of each stage of this call, and its amount of work."""
        write_text(self.timings, json.dumps({"seconds": dict(seconds), "counts": dict(counts)}, indent=1) + "\n")

    def write_candidates(self, ranked: RankedCandidates) -> None:
        """Write `candidates.csv`: one line per candidate, best first within a query."""
        frame = pd.DataFrame(
            {
                "query_id": ranked.query_id,
                "gallery_id": ranked.gallery_id,
                "identity": ranked.identity,
                "dataset": ranked.dataset,
                "probability": ranked.probability,
                "identity_probability": ranked.identity_probability,
                **{name: values.astype("float64") for name, values in ranked.columns.items()},
            }
        )
        write_text(self.candidates, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))

    def write_sources(self, ranks: pd.DataFrame) -> None:
        """Write `sources.csv`: each candidate's rank in every source; the last column is the matched shortlist."""
        write_text(self.sources, ranks.to_csv(index=False, float_format="%.0f", lineterminator="\n"))


def _is_ours(item: Path) -> bool:
    """Recognise the files that a run writes before its marker."""
    return item.name == ".lock" or (item.name.startswith(f".{RUN_MARKER}.") and item.name.endswith(".part"))


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed ({error.strerror}).") from error
