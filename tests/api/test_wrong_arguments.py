"""A misspelled name and an argument of another kind are refused at once, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import animalclef as ac
from animalclef.api.clustering import _pairs
from animalclef.errors import AnimalClefError
from animalclef.structures import Embeddings

PHOTOGRAPH = np.zeros((40, 50, 3), dtype=np.uint8)
IDS = np.array(["1", "2", "3"], dtype=object)
MINE = Embeddings("mine", IDS, np.eye(3, dtype=np.float32))
TRUTH = pd.DataFrame({"image_id": [1], "identity": ["Ada"], "dataset": "Newts", "known": [1]})


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda: ac.Matcher(features="shift"), "sift"),
        (lambda: ac.Matcher("lightglue", features="shift"), "sift"),
        (lambda: ac.Matcher("mutual-nearst"), "mutual-nearest"),
        (lambda: ac.Matcher("lightglue", weights="lightglue-sifft"), "lightglue-sift"),
        (lambda: ac.LocalFeatureExtractor("super-point"), "superpoint"),
        (lambda: ac.Embedder("embeder-lite"), "embedder-lite"),
        (lambda: ac.segment(PHOTOGRAPH, model="animl"), "animal"),
        (lambda: ac.load_config("offlin"), "offline"),
        (lambda: ac.predict("nowhere", engine="rai"), "ray"),
        (lambda: ac.train_embedder("nowhere", "out", config="miewd"), "miewid"),
        (lambda: ac.load_dataset("nowhere", date_order="dayfirst"), "day-first"),  # type: ignore[arg-type]
    ],
)
def test_a_misspelled_name_gets_a_suggestion(call: Callable[[], Any], nearest: str) -> None:
    with pytest.raises(AnimalClefError, match=rf"Did you mean {nearest}\?"):
        call()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ac.retrieve(MINE, MINE.values), r"gallery: expected Embeddings \(of arrays: .*\), got ndarray"),  # type: ignore[arg-type]
        (lambda: ac.retrieve(MINE, MINE, k="3"), "k: expected a whole number, got str"),  # type: ignore[arg-type]
        (lambda: ac.Matcher().match(MINE, MINE), "images: expected the path of a photograph, .*got Embeddings"),  # type: ignore[arg-type]
        (lambda: ac.segment(5, model="grabcut"), "images: expected .*or a list of them, .*got int"),  # type: ignore[arg-type]
        (lambda: ac.segment(TRUTH, model="grabcut"), "images: expected .*got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.predict("nowhere", config={"seed": 1}), "config: expected settings .*got dict"),  # type: ignore[arg-type]
        (lambda: ac.predict(["a.jpg", "b.jpg"]), "data: expected a folder, a table or a Dataset .*got list"),  # type: ignore[arg-type]
        (lambda: ac.load_config(None, ["seed=1"]), "load_config: expected changes such as .*got list"),  # type: ignore[call-overload]
        (lambda: ac.load_dataset("nowhere", columns="a=b"), "columns: expected a mapping such as .*got str"),  # type: ignore[arg-type]
        (lambda: ac.ensemble("runs/a"), "runs: expected a list of two or more runs, got str"),
        (lambda: ac.competition_score(TRUTH, ["Ada"]), "predictions: expected a submission file, .*got list"),  # type: ignore[arg-type]
        (lambda: ac.tune_decision("runs/a", trials="10"), "trials: expected a whole number, 1 or more, got str"),  # type: ignore[arg-type]
        (lambda: ac.tune_decision("runs/a", trials=True), "trials: expected a whole number, 1 or more, got bool"),
        (lambda: ac.tune_decision("runs/a", workers="2"), "workers: expected a whole number, 1 or more, got str"),  # type: ignore[arg-type]
        (lambda: ac.cluster("nowhere", workers="2"), "workers: expected a whole number, 1 or more, got str"),  # type: ignore[arg-type]
        (lambda: ac.load_dataset(TRUTH), "path: expected a folder or a table file .*got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.load_run(TRUTH), "path: expected the folder of a finished run, got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.write_report(TRUTH), "run: expected a finished run .*, or its folder, got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.tune_decision(TRUTH), "run: expected a finished run .*, or its folder, got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.cluster(TRUTH), "run_or_data: expected a finished run, a Dataset, .*got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.predict("nowhere", decision=TRUTH), "decision: expected a decision such as .*got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.predict("nowhere", run_dir=TRUTH), "run_dir: expected a folder, got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.predict("nowhere", weights=TRUTH), "weights: expected a path, got DataFrame"),  # type: ignore[arg-type]
        (lambda: ac.competition_score(5, {}), "truth: expected a truth file or a DataFrame, got int"),  # type: ignore[arg-type]
        (lambda: ac.cluster("nowhere", progress="on"), "progress: expected True, False or an object .*, got str"),  # type: ignore[arg-type]
    ],
)
def test_an_argument_of_another_kind_is_told(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        call()


@pytest.mark.parametrize("pairs", ["ab", [("1", "2", "3")], ["12"], [3, 7], [{"1", "2"}]])
def test_pairs_are_two_photographs(pairs: Any) -> None:
    with pytest.raises(ValueError, match=r"must_link: expected pairs of image_ids such as \[\('3', '7'\)\], got "):
        ac.cluster("nowhere", must_link=pairs)


def test_pairs_may_come_one_by_one() -> None:
    assert _pairs("must_link", zip(["1"], [2], strict=True)) == (("1", "2"),)


def test_identities_are_as_many_as_embeddings() -> None:
    with pytest.raises(ValueError, match="identity: expected one for each of 3 embeddings, got 2"):
        ac.retrieval_metrics(MINE, ["a", "b"])


def test_embeddings_are_made_of_arrays_of_ones_own() -> None:
    assert ac.retrieve(MINE, MINE, k=2).index.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_queries_and_gallery_may_not_use_one_id_for_other_vectors() -> None:
    others = Embeddings("mine", IDS, np.roll(MINE.values, 1, axis=0))
    with pytest.raises(ValueError, match=r"^image_id 1 is in queries and gallery with other vectors; give them diff"):
        ac.retrieve(MINE, others)
    again = Embeddings("mine", IDS[:1], MINE.values[:1] + np.float32(1e-3))  # computed in another batch
    assert ac.retrieve(again, MINE, k=1).index.tolist() == [[1]]


def test_a_shortlist_has_at_most_the_whole_gallery() -> None:
    ids, queries = [10, 11], Embeddings("mine", ["a"], [[1, 0, 0]])  # type: ignore[arg-type]
    gallery = Embeddings("mine", np.array(ids), np.array([[0.6, 0.8, 0], [0.8, 0.6, 0]]))
    found = ac.retrieve(queries, gallery, k=10**7)
    assert (found.gallery_id.tolist(), found.index.tolist()) == (["10", "11"], [[1, 0]])
    np.testing.assert_allclose(found.similarity, [[0.8, 0.6]], rtol=1e-6)
    own = ac.retrieve(MINE, MINE, k=10**7)
    assert own.index.tolist() == [[1, 2, -1], [0, 2, -1], [0, 1, -1]]
    assert np.isnan(own.similarity[:, 2]).all()
    for shape, k in (((0, 3), 5), ((3, 0), 5)):
        nobody = Embeddings("mine", [], np.zeros((0, 3), np.float32))  # type: ignore[arg-type]
        some = ac.retrieve(*((nobody, MINE) if shape[0] == 0 else (MINE, nobody)), k=k)
        assert some.index.shape == shape


@pytest.mark.parametrize(
    ("gallery", "sentence"),
    [
        (Embeddings("mine", IDS, np.eye(3, 5)), "expected vectors of one length, got 3 of queries and 5 of gallery"),
        (Embeddings("yours", IDS, np.eye(3)), "expected embeddings of one model, got mine and yours"),
        (Embeddings("mine", IDS, np.diag([1, np.nan, 1])), "gallery: the vector of image_id 2 holds NaN or infinity"),
        (Embeddings("mine", IDS, np.diag([1, 1, np.inf])), "gallery: the vector of image_id 3 holds NaN or infinity"),
        (Embeddings("mine", IDS[[0, 1, 0]], np.eye(3)), "gallery: image_id 1 is there more than once"),
    ],
)
def test_embeddings_that_cannot_be_compared_are_told(gallery: Embeddings, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ac.retrieve(MINE, gallery)
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        ac.retrieve(MINE, MINE, k=0)
    with pytest.raises(TypeError, match="image_id: expected texts or whole numbers, got float"):
        Embeddings("mine", [1.5], np.eye(1))  # type: ignore[arg-type]


def test_a_file_of_changes_keeps_the_other_settings_of_a_group(tmp_path: Path) -> None:
    from animalclef.api.datasets import settings_of
    from animalclef.config import Config

    (tmp_path / "changes.yaml").write_text("decide: {trials: 7}\n", encoding="utf-8")
    own = ac.load_config(None, "decide.splits=3")
    changed = settings_of(tmp_path / "changes.yaml", model=Config, base=own)
    assert (changed.decide.trials, changed.decide.splits) == (7, 3)


@pytest.mark.parametrize("number", [0, -1])
def test_trials_and_workers_are_1_or_more(number: int) -> None:
    for name, call in {
        "trials": lambda: ac.tune_decision("runs/a", trials=number),
        "workers": lambda: ac.cluster("nowhere", workers=number),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}: expected 1 or more, got {number}\."):
            call()


def test_progress_is_shown_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    from animalclef.api.shown_progress import shown_progress
    from animalclef.runtime.progress import Silent

    for given in (True, False, None):
        with shown_progress(given).task("looking", 2, "images") as advance:
            advance(2)
        said = capsys.readouterr()
        assert ("looking: 2 of 2 images" in said.err, said.out) == (given is True, "")
    mine = Silent()
    assert shown_progress(mine) is mine


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda _: ac.load_dataset("nowhere"), "nowhere: no such folder. Give a folder of photographs"),
        (lambda data: ac.load_dataset(data, columns={"path": "x"}), "metadata.csv: columns: path=x: no such column"),
        (lambda _: ac.load_config(None, "seed"), "seed: expected KEY=VALUE"),
        (lambda _: ac.Embedder("embedder-lite", device="gpu"), "device gpu: no such device."),
        (lambda _: ac.Matcher("lightglue", device="gpu"), "device gpu: no such device."),
        (lambda data: ac.predict(data, run_dir=data), "tiny: not a run folder (it holds "),
        (lambda data: ac.predict(data, engine="ry"), "engine ry: expected one of local, ray. Did you mean ray?"),
        (lambda data: ac.load_run(data.parent / "none").to_submission(data), "none: no such folder."),
    ],
)
def test_a_message_names_no_option_of_the_command_line(
    tiny_data: Path, call: Callable[[Path], Any], sentence: str
) -> None:
    with pytest.raises(AnimalClefError) as error:
        call(tiny_data)
    assert sentence in str(error.value)
    assert " --" not in str(error.value)
