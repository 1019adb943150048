"""Compute data frames and arrays of a run for notebooks: its photographs, embeddings, recall and errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from animalclef.config import fingerprint
from animalclef.evaluation.evaluate import truth_of_run
from animalclef.evaluation.outcomes import Answers, judge
from animalclef.metrics.competition import identity_rank
from animalclef.report.match_view import Matches, store_with
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Embeddings
from animalclef.structures.arrays import Floats

__all__ = [
    "answers_of",
    "embeddings_of",
    "errors_frame",
    "leaks_frame",
    "match_places",
    "nearest",
    "photographs_frame",
    "recall_frame",
]


def answers_of(run: FinishedRun, truth_path: Path | None) -> Answers | None:
    """Compare the run's answers with a truth file; return `None` without one."""
    if truth_path is None or not truth_path.is_file():
        return None
    truth = truth_of_run(run, truth_path)
    return judge(truth, run.images, run.ranked, run.predictions)


def photographs_frame(run: FinishedRun) -> pd.DataFrame:
    """Return one row per photograph; width and height come from the files' headers.

    They are NaN for a missing file, and for one in a bucket that has no copy on this machine.
    """
    images = run.images
    sizes = np.array([_size_wh(images.root / path) for path in images.path], dtype=np.float64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "image_id": images.image_id,
            "dataset": images.dataset,
            "split": np.where(images.is_query, "query", "gallery"),
            "identity": images.identity,
            "viewpoint": images.viewpoint,
            "date": images.date,
            "width": sizes[:, 0],
            "height": sizes[:, 1],
            "used": [bool(key) for key in images.key],
        }
    )


def _size_wh(path: Path) -> tuple[float, float]:
    try:
        with Image.open(path) as image:
            return float(image.width), float(image.height)
    except (OSError, ValueError):
        return float("nan"), float("nan")


def leaks_frame(run: FinishedRun, correlation: float = 0.9) -> pd.DataFrame:
    """Return queries whose file, or a near-duplicate by its thumbnail, is in the gallery of their data set."""
    images, found = run.images, []
    usable = images.select(np.array([bool(key) for key in images.key], dtype=bool))
    store = store_with(run.path / "thumbnails", list(usable.key))
    for name in usable.datasets:
        part = usable.select(usable.dataset == name)
        queries, gallery = part.queries, part.gallery
        if store is None or not len(queries) or not len(gallery):
            continue
        seen, known = (_unit(np.stack([store.get(key)["thumbnail"] for key in one.key])) for one in (queries, gallery))
        likeness = seen @ known.T
        for row, column in np.argwhere(likeness >= correlation):
            same = queries.key[row] == gallery.key[column]
            pair = (queries.image_id[row], gallery.image_id[column], gallery.identity[column])
            found.append((name, *pair, float(likeness[row, column]), bool(same)))
    columns = ["dataset", "query_id", "gallery_id", "identity", "correlation", "same_file"]
    return pd.DataFrame(found, columns=columns).sort_values("correlation", ascending=False, ignore_index=True)


def _unit(values: NDArray[np.generic]) -> Floats:
    """Subtract the mean of each row and scale it to length 1."""
    centred = values.astype(np.float64) - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))


def embeddings_of(run: FinishedRun, dataset: str) -> Embeddings | None:
    """Return the stored embeddings of one data set, or `None` if the run keeps none."""
    images = run.images.select((run.images.dataset == dataset) & (run.images.key.astype(str) != ""))
    folder = run.path / "embeddings"
    whole = fingerprint(1, images.key.tolist(), run.config.embed.dimensions)  # of the weight-free model, after PCA
    vectors = store_with(folder, [whole])
    if vectors is not None:
        return Embeddings(dataset, images.image_id, vectors.get(whole)["values"].astype(np.float32))
    store = store_with(folder, list(images.key))
    if store is None or store.missing(images.key):
        return None
    values = np.stack([store.get(key)["embedding"] for key in images.key]).astype(np.float32)
    return Embeddings(dataset, images.image_id, values)


def nearest(embeddings: Embeddings, image_id: str, among: Iterable[str], most: int = 5) -> list[tuple[str, float]]:
    """Return the `most` most similar of some photographs, best first, with the cosine similarity."""
    row_of = {name: row for row, name in enumerate(embeddings.image_id)}
    others = [name for name in among if name in row_of and name != image_id]
    likeness = embeddings.values[[row_of[name] for name in others]] @ embeddings.values[row_of[image_id]]
    return [(others[place], float(likeness[place])) for place in np.argsort(-likeness, kind="stable")[:most]]


def recall_frame(run: FinishedRun, answers: Answers, ranks: Iterable[int] = (1, 5, 10, 20, 50, 100)) -> pd.DataFrame:
    """Return the share of known queries whose individual is among the first k, by every score and both probabilities.

    `probability` is that of the photograph alone, `identity_probability` that of its individual, by which the run
    ranks: its recall at 1 is the rank-1 of `animalclef evaluate`.
    """
    ranked = run.ranked
    columns: dict[str, NDArray[np.floating]] = {**ranked.columns, "probability": ranked.probability}
    columns["identity_probability"] = ranked.identity_probability
    known = [(one, who) for one, who, is_known in zip(answers.image_id, answers.truth, answers.known, strict=True)
             if is_known]  # fmt: skip
    lines = []
    for name, values in columns.items():
        found: dict[str, list[float]] = defaultdict(list)
        for query_id, who in known:
            own = run.rows_of.get(query_id, slice(0, 0))
            order = np.argsort(-np.nan_to_num(values[own], nan=-np.inf), kind="stable")
            dataset = str(run.images.dataset[run.row_of[query_id]])
            found[dataset].append(identity_rank(ranked.identity[own][order], who))
        for dataset, rank in sorted(found.items()):
            lines += [(dataset, name, k, float(np.mean(np.array(rank) <= k))) for k in ranks]
    return pd.DataFrame(lines, columns=["dataset", "score", "k", "recall"])


def match_places(run: FinishedRun, pairs: Iterable[tuple[str, str]]) -> Floats:
    """Return the positions of inliers in the queries as shares of their width and height, (n, 2)."""
    matches, places = Matches(run), [np.zeros((0, 2))]
    for query_id, gallery_id in pairs:
        query = matches.features(query_id)
        found = matches.between(query, matches.features(gallery_id))
        if query is not None and found is not None:
            places.append((found.query_xy[found.is_inlier] + 0.5) / np.array(query.image_size_wh, dtype=np.float64))
    return np.concatenate(places)


def errors_frame(run: FinishedRun, answers: Answers, photographs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per query: its outcome and what may explain it.

    `days` is the time to the nearest gallery photograph of the individual, `gallery_images` the number of these
    photographs, and `other_viewpoint` marks that none of them shows the query's side.
    """
    of = photographs.set_index("image_id")
    gallery = photographs[photographs["split"] == "gallery"]
    by_name = dict(iter(gallery.groupby(["dataset", "identity"])))
    lines = []
    for row, image_id in enumerate(answers.image_id):
        mine, name = of.loc[str(image_id)], (answers.dataset[row], answers.truth[row])
        theirs = by_name.get(name, gallery.iloc[:0])
        gaps = (pd.to_datetime(theirs["date"], errors="coerce") - pd.to_datetime(mine["date"], errors="coerce")).abs()
        sides = set(theirs["viewpoint"])
        lines.append(
            {
                "image_id": image_id, "dataset": name[0], "individual": name[1], "outcome": answers.outcome[row],
                "probability": answers.probability[row], "rank": answers.rank[row], "answer": answers.answer[row],
                "viewpoint": mine["viewpoint"], "long_side": max(mine["width"], mine["height"]),
                "days": gaps.min().days if gaps.notna().any() else np.nan, "gallery_images": len(theirs),
                "other_viewpoint": bool(mine["viewpoint"]) and bool(sides) and mine["viewpoint"] not in sides,
            }
        )  # fmt: skip
    return pd.DataFrame(lines)
