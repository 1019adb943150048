"""Draw a query beside each of its best individuals, with the matched keypoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.decode import resize_long_side
from animalclef.errors import DataError, OutputError, nearest
from animalclef.report.best_photographs import BestPhotograph, best_photographs, further_photographs
from animalclef.report.explanations import Explanations, cosine_text, draw_agreement
from animalclef.report.match_view import Matches
from animalclef.report.picture_text import write_text
from animalclef.report.thumbnails import draw_outline, failure_of_bucket, mask_in_run, read_photograph
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.output_guard import mark_picture
from animalclef.runtime.remote_files import where_to_look
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Correspondences, DecodedImage
from animalclef.structures.arrays import Pixels

__all__ = ["draw_pair", "draw_query", "write_picture"]

logger = logging.getLogger(__name__)

_TILE_WH = (380, 285)
_STRIP = 26  # pixels of a line of text
_BACKGROUND, _INK, _FAINT = (22, 24, 28), (240, 240, 240), (150, 156, 164)
_RAMP = np.array([(79, 141, 255), (53, 208, 186), (255, 225, 77)], dtype=np.float64)  # little to much confidence


class _Frame(NamedTuple):
    """The rectangle of a photograph in the picture, in pixels."""

    left: float
    top: float
    width: float
    height: float

    def place(self, points_xy: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.int64]:
        """Convert points of the photograph at its original size to pixels of the picture."""
        share = (points_xy + 0.5) / np.array(size_wh, dtype=np.float64)
        placed = share * (self.width, self.height) + (self.left, self.top)
        return np.asarray(placed.round().astype(np.int64))


class _Wanted:
    """The photographs that a picture wants, and those among them that are not there."""

    def __init__(self, run: FinishedRun) -> None:
        self.run = run
        self._is_there: dict[str, bool] = {}

    def read(self, image_id: str) -> DecodedImage | None:
        image = read_photograph(self.run, image_id, max(_TILE_WH))
        self._is_there[image_id] = image is not None
        return image

    def warn_of_missing(self) -> None:
        """Warn of photographs that were moved, removed or changed since the run; what it skipped was never used."""
        skipped = {one.image_id for one in self.run.skipped}
        if missing := [one for one, is_there in self._is_there.items() if not is_there and one not in skipped]:
            if failure := failure_of_bucket(self.run, missing):
                logger.warning("Not shown: %d of the %d photographs. %s", len(missing), len(self._is_there), failure)
                return
            images = self.run.images
            first = images.path[self.run.row_of[missing[0]]]
            logger.warning(
                "%d of the %d photographs shown are missing from %s, or have changed (first: %s). %s",
                len(missing), len(self._is_there), images.root, first, where_to_look(images.root / first),
            )  # fmt: skip


def draw_query(
    run: FinishedRun,
    query_id: str,
    candidates: int = 4,
    explanations: Explanations | None = None,
    weights: Path | None = None,
) -> Pixels:
    """Draw the query with the best photograph of each of its `candidates` best individuals, two pairs a line.

    `explanations` add the regions that the embedding matched below each pair. Published weights of the matcher are
    searched for in the folder `weights` first.

    `query_id` may also be the name of a query's file, with or without its ending, where only one has it. A photograph
    that is not where it was is an empty box, with a warning.

    Raises:
        DataError: the run has no such query.
    """
    query_id = _query_of(run, query_id)
    best = best_photographs(run, query_id)
    matches, wanted = Matches(run, weights=weights), _Wanted(run)
    pairs = [_pair(wanted, matches, query_id, one.row, _title(run, one), explanations) for one in best[:candidates]]
    if not pairs:
        tile, _ = _tile(wanted, query_id, 0)
        pairs = [_captioned(tile, "no candidates")]
    wanted.warn_of_missing()
    while len(pairs) > 1 and len(pairs) % 2:
        pairs.append(np.full_like(pairs[0], _BACKGROUND))
    step = min(2, len(pairs))
    pairs = [cv2.copyMakeBorder(pair, 0, 4, 0, 8, cv2.BORDER_CONSTANT, value=_BACKGROUND) for pair in pairs]
    lines = [np.hstack(pairs[start : start + step]) for start in range(0, len(pairs), step)]
    return _captioned(np.vstack(lines), _headline(run, query_id), below=False)


def draw_pair(run: FinishedRun, query_id: str, gallery_id: str, explanations: Explanations | None = None) -> Pixels:
    """Draw one query and one of its candidates; `explanations` add the regions that the embedding matched.

    Raises:
        DataError: the second is no candidate of the first.
    """
    own = run.rows_of.get(query_id, slice(0, 0))
    rows = np.flatnonzero(run.ranked.gallery_id[own] == gallery_id)
    if not len(rows):
        raise DataError(f"{gallery_id}: no candidate of {query_id} in {run.path}.")
    row = own.start + int(rows[0])
    title = f"{run.ranked.identity[row]}: photograph {gallery_id}"
    wanted = _Wanted(run)
    drawn = _pair(wanted, Matches(run), query_id, row, title, explanations)
    wanted.warn_of_missing()
    return drawn


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write a picture as PNG or JPEG, by the ending of its name.

    Raises:
        OutputError: the name has another ending, or the place cannot be written to.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise OutputError(f"{path}: expected a name that ends with .png or .jpg.")
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 84]
    write_bytes(path, mark_picture(cv2.imencode(suffix, pixels[:, :, ::-1], options)[1].tobytes()))


def _query_of(run: FinishedRun, name: str) -> str:
    """Return the query of an image_id, or of a file's name."""
    queries = run.images.queries
    if name in set(queries.image_id):
        return name
    file = Path(name)
    found = [image_id for image_id, path in zip(queries.image_id, queries.path, strict=True)
             if (Path(path).name if file.suffix else Path(path).stem) == file.name]  # fmt: skip
    if len(found) == 1:
        return str(found[0])
    example = found or nearest(name, queries.image_id) or list(queries.image_id[:1])
    hint = f"; a query is, for example, {example[0]}." if example else "; it has no queries."
    raise DataError(f"{name}: no query of {run.path}{hint}")


def _headline(run: FinishedRun, query_id: str) -> str:
    at = int(np.flatnonzero(run.predictions.image_id == query_id)[0])
    dataset = run.images.dataset[run.row_of[query_id]]
    answer = run.predictions.identity[at] or "a new individual"
    threshold = run.decision.of(dataset).threshold
    best = f"probability of the best individual {run.predictions.probability[at]:.2f}, threshold {threshold:.2f}"
    return f"{dataset}, query {query_id}: {answer}   ({best})"


def _title(run: FinishedRun, best: BestPhotograph) -> str:
    """Return rank and name of an individual, its photograph, and how many others of it were candidates."""
    name = run.ranked.identity[best.row]
    shown = f"{best.rank}. {name}: photograph {run.ranked.gallery_id[best.row]}"
    return ", ".join(filter(None, [shown, further_photographs(best.further, name)]))


def _pair(
    wanted: _Wanted, matches: Matches, query_id: str, row: int, title: str, explanations: Explanations | None
) -> Pixels:
    """Draw two photographs with lines between the inliers, the title and the probabilities below."""
    ranked = wanted.run.ranked
    gallery_id = ranked.gallery_id[row]
    left, first = _tile(wanted, query_id, 0)
    right, second = _tile(wanted, gallery_id, _TILE_WH[0])
    canvas = np.ascontiguousarray(np.hstack([left, right]))
    photographs = canvas.copy()
    query, candidate = matches.features(query_id), matches.features(gallery_id)
    found = matches.between(query, candidate)
    if found is not None and query is not None and candidate is not None:
        starts = first.place(found.query_xy, query.image_size_wh)
        ends = second.place(found.gallery_xy, candidate.image_size_wh)
        _draw_lines(canvas, starts, ends, found)
    counted = ranked.columns.get("inliers")
    inliers = "" if counted is None else f"   {counted[row]:.0f} inliers"
    whole, single = ranked.identity_probability[row], ranked.probability[row]
    probabilities = f"individual {whole:.2f}, photograph {single:.2f}"
    drawn = _captioned(_captioned(canvas, title), f"probability: {probabilities}{inliers}")
    if explanations is None or not explanations.are_there:
        return drawn
    agreed = explanations.of(query_id, gallery_id)
    if agreed is None:
        return np.vstack([drawn, _captioned(photographs, "the embedding cannot be explained for this pair")])
    heated = draw_agreement(photographs, first, second, agreed)
    return np.vstack([drawn, _captioned(heated, f"regions that the embedding matched   {cosine_text(agreed)}")])


def _tile(wanted: _Wanted, image_id: str, left: int) -> tuple[Pixels, _Frame]:
    """Return a photograph in the middle of its tile, and its rectangle in the pair."""
    (width, height), run = _TILE_WH, wanted.run
    tile = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    image = wanted.read(image_id)
    if image is None:
        write_text(tile, "photograph missing", (width // 2 - 65, height // 2 - 8), _FAINT)
        return tile, _Frame(left, 0, width, height)
    scale = min(width / image.pixels.shape[1], height / image.pixels.shape[0])
    long_side = max(1, int(max(image.pixels.shape[:2]) * scale))
    pixels = resize_long_side(image.pixels, long_side, enlarge=True)[:height, :width]
    mask = mask_in_run(run, image_id, image.original_size_wh)
    if mask is not None:
        pixels = pixels.copy()
        draw_outline(pixels, mask)
    y, x = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    tile[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return tile, _Frame(left + x, y, pixels.shape[1], pixels.shape[0])


def _draw_lines(canvas: Pixels, starts: NDArray[np.int64], ends: NDArray[np.int64], found: Correspondences) -> None:
    """Draw the inliers, the most confident on top; a dark line below each separates it from the photograph."""
    agreeing = np.flatnonzero(found.is_inlier)
    sure = found.confidence[agreeing]
    share = (sure - sure.min()) / max(float(np.ptp(sure)), 1e-6) if len(sure) else sure
    inked = canvas.copy()
    ends_of = [(tuple(starts[row].tolist()), tuple(ends[row].tolist())) for row in agreeing]
    order = np.argsort(share, kind="stable")
    for place in order:
        start, end = ends_of[place]
        cv2.line(inked, start, end, (0, 0, 0), 2, cv2.LINE_AA)
        cv2.line(inked, start, end, _colour(float(share[place])), 1, cv2.LINE_AA)
    cv2.addWeighted(inked, 0.7, canvas, 0.3, 0, dst=canvas)
    for place in order:
        for point in ends_of[place]:
            cv2.circle(canvas, point, 3, _colour(float(share[place])), -1, cv2.LINE_AA)


def _colour(share: float) -> tuple[float, ...]:
    return tuple(float(np.interp(2 * share, [0, 1, 2], _RAMP[:, channel])) for channel in range(3))


def _captioned(pixels: Pixels, text: str, *, below: bool = True) -> Pixels:
    strip = np.full((_STRIP, pixels.shape[1], 3), _BACKGROUND, dtype=np.uint8)
    write_text(strip, text, (8, 4), _INK)
    return np.vstack([pixels, strip] if below else [strip, pixels])
