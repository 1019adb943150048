"""Every pair of a shortlist is matched once, whoever asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table

from animalclef.errors import OutputError
from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched, by_query, windows
from animalclef.matching.rerank import rerank, scores_without_matching
from animalclef.runtime.progress import Silent
from animalclef.store.pair_log import PairLog
from animalclef.structures import FloatArray, ImageTable, LocalFeatures, Shortlist


class Counting:
    """Scores a pair by its keys and notes that it was asked."""

    columns = ("sum", "product")
    pairs_a_shard = 3

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        return by_query(self.match, jobs, is_done, read, workers)

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        one = int(query.key[:16], 16)
        others = [int(candidate.key[:16], 16) for candidate in candidates]
        self.pairs += [(min(one, other), max(one, other)) for other in others]
        return np.array([[one + other, one * other] for other in others], dtype=np.float32)


def no_features(key: str) -> LocalFeatures:
    nothing = np.zeros(0, np.float32)
    return LocalFeatures(key, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), nothing, nothing, (3, 2))


@pytest.fixture
def gallery() -> ImageTable:
    return image_table([Row(f"g{number}", "a") for number in range(4)])  # content keys 1, 2, 3, 4


def all_pairs(images: ImageTable) -> Shortlist:
    n = len(images)
    index = np.array([[other for other in range(n) if other != one] + [-1] for one in range(n)], dtype=np.int32)
    return Shortlist(images.image_id, images.image_id, index, np.where(index >= 0, 0.5, np.nan).astype(np.float32))


def run(shortlist: Shortlist, images: ImageTable, path: Path, matcher: Counting, workers: int = 2) -> FloatArray:
    log = PairLog(path, "f", matcher.columns)
    scores = rerank(shortlist, images, no_features, matcher, log, workers, Silent())
    assert list(scores.columns) == ["similarity", "sum", "product"]
    return np.stack([scores.columns["sum"], scores.columns["product"]], axis=1)


def test_each_unordered_pair_is_matched_once_and_serves_both_ways(gallery: ImageTable, tmp_path: Path) -> None:
    matcher = Counting()
    scores = run(all_pairs(gallery), gallery, tmp_path / "pairs.log", matcher)
    assert sorted(matcher.pairs) == [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    ordered = [(one, other) for one in (1, 2, 3, 4) for other in (1, 2, 3, 4) if one != other]
    assert scores.tolist() == [[one + other, one * other] for one, other in ordered]


def test_what_the_log_holds_is_not_matched_again(gallery: ImageTable, tmp_path: Path) -> None:
    first = run(all_pairs(gallery), gallery, tmp_path / "pairs.log", Counting())
    matcher = Counting()
    np.testing.assert_array_equal(run(all_pairs(gallery), gallery, tmp_path / "pairs.log", matcher), first)
    assert matcher.pairs == []


def test_only_what_is_new_is_matched(gallery: ImageTable, tmp_path: Path) -> None:
    shortlist = all_pairs(gallery)
    narrow = Shortlist(shortlist.query_id, shortlist.gallery_id, shortlist.index[:, :1], shortlist.similarity[:, :1])
    run(narrow, gallery, tmp_path / "pairs.log", Counting())  # 1-2, 2-1, 3-1, 4-1
    matcher = Counting()
    run(shortlist, gallery, tmp_path / "pairs.log", matcher)
    assert sorted(matcher.pairs) == [(2, 3), (2, 4), (3, 4)]


def test_photographs_with_the_same_content_share_their_scores(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("p"), Row("g", "a")])
    images = images.with_columns(key=np.array([images.key[0], images.key[0], images.key[2]], dtype=object))
    index = np.zeros((2, 1), np.int32)
    shortlist = Shortlist(images.queries.image_id, images.gallery.image_id, index, index.astype(np.float32))
    matcher = Counting()
    assert run(shortlist, images, tmp_path / "pairs.log", matcher).tolist() == [[4, 3], [4, 3]]
    assert matcher.pairs == [(1, 3)]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_change_the_scores(workers: int, tmp_path: Path) -> None:
    images = image_table([Row(f"g{number}", "a") for number in range(40)])
    scores = run(all_pairs(images), images, tmp_path / "pairs.log", Counting(), workers)
    assert scores[0].tolist() == [3, 2]
    assert scores[-1].tolist() == [79, 40 * 39]


def test_an_empty_shortlist(gallery: ImageTable, tmp_path: Path) -> None:
    empty = Shortlist(
        gallery.image_id, gallery.image_id, np.full((4, 3), -1, np.int32), np.full((4, 3), np.nan, np.float32)
    )
    assert run(empty, gallery, tmp_path / "pairs.log", Counting()).shape == (0, 2)
    assert len(scores_without_matching(empty)) == 0


def test_without_a_matcher_the_similarity_remains(gallery: ImageTable) -> None:
    scores = scores_without_matching(all_pairs(gallery))
    assert list(scores.columns) == ["similarity"]
    assert len(scores) == 12
    assert scores.gallery_id[:3].tolist() == ["g1", "g2", "g3"]


class InTens:
    """Matches ten planned pairs at a time; a score tells which pairs it was computed beside."""

    columns = ("company",)
    pairs_a_shard = 10

    def __init__(self, dies_after: int = 1000) -> None:
        self.batches, self.dies_after = 0, dies_after

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        pairs = [pair for job in jobs for pair in job.pairs]
        for start in range(0, len(pairs), 10):
            batch = pairs[start : start + 10]
            if not all(map(is_done, batch)):
                if self.batches == self.dies_after:
                    raise KeyboardInterrupt
                self.batches += 1
                company = sum(int(key[:16], 16) for pair in batch for key in pair)
                yield Matched(batch, np.full((len(batch), 1), company, dtype=np.float32))


def in_tens(path: Path, dies_after: int = 1000, count: int = 8) -> InTens:
    images = image_table([Row(f"g{number}", "a") for number in range(count)])  # 8: 28 pairs
    matcher = InTens(dies_after)
    rerank(all_pairs(images), images, no_features, matcher, PairLog(path, "f", matcher.columns), 1, Silent())
    return matcher


@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_batches_depend_on_the_plan_alone(dies_after: int, tmp_path: Path) -> None:
    assert in_tens(tmp_path / "whole.log").batches == 3
    with pytest.raises(KeyboardInterrupt):
        in_tens(tmp_path / "killed.log", dies_after)
    assert in_tens(tmp_path / "killed.log").batches == 3 - dies_after
    assert (tmp_path / "killed.log").read_bytes() == (tmp_path / "whole.log").read_bytes()


def test_a_batch_that_is_done_in_part_is_matched_whole_and_only_the_rest_is_written(tmp_path: Path) -> None:
    in_tens(tmp_path / "whole.log")
    with pytest.raises(KeyboardInterrupt):
        in_tens(tmp_path / "part.log", 0)  # begun, and then a pair that another frame lost
    log = PairLog(tmp_path / "part.log", "f", InTens.columns)
    key = [f"{number:016x}{0:016x}" for number in range(9)]
    log.append([key[1]], [key[3]], np.array([[-1]], np.float32))
    assert in_tens(tmp_path / "part.log").batches == 3
    whole, part = (PairLog(tmp_path / name, "f", InTens.columns) for name in ("whole.log", "part.log"))
    first, second = np.array(key[1:8], dtype=object), np.array(key[2:9], dtype=object)
    np.testing.assert_array_equal(part.lookup(first, second), whole.lookup(first, second))
    assert part.lookup(first[:1], second[1:2]).tolist() == [[-1]]


def two_plans(path: Path, *dies_after: int) -> int:
    """Batches of the last run: 5 images (10 pairs), then 8 (18 further pairs); every run but the last is killed."""
    for limit in (*dies_after, 1000):
        try:
            first = in_tens(path, limit, 5)
            return first.batches + in_tens(path, limit - first.batches).batches
        except KeyboardInterrupt:
            assert limit < 1000
    return 0


def test_what_an_earlier_plan_matched_is_in_no_batch_and_a_kill_changes_nothing(tmp_path: Path) -> None:
    assert two_plans(tmp_path / "whole.log") == 1 + 2
    assert two_plans(tmp_path / "killed.log", 0, 2, 0) == 1
    for name in ("log", "plans.json"):
        assert (tmp_path / f"killed.{name}").read_bytes() == (tmp_path / f"whole.{name}").read_bytes()


def all_scores(path: Path) -> list[list[float]]:
    """Of the 28 pairs of 8 images."""
    images = image_table([Row(f"g{number}", "a") for number in range(8)])
    log, (first, second) = PairLog(path, "f", InTens.columns), np.triu_indices(8, 1)
    found: list[list[float]] = log.lookup(images.key[first], images.key[second]).tolist()
    return found


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 1), ()])
@pytest.mark.parametrize("recreated", [False, True])
def test_damage_or_a_new_log_in_the_middle_of_a_plan_changes_no_score(
    lost: tuple[int, ...], *, recreated: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed between the batches of the second plan; then a frame of either plan is damaged, or the log is gone."""
    two_plans(tmp_path / "whole.log")
    wanted = all_scores(tmp_path / "whole.log")
    path = tmp_path / "part.log"
    in_tens(path, count=5)
    with pytest.raises(KeyboardInterrupt):
        in_tens(path, 1)
    content = bytearray(path.read_bytes())
    frames = [at for at in range(len(content)) if content[at : at + 4] == b"\xf7prs"]
    assert len(frames) == 2
    for number in lost:
        content[frames[number] + 20] ^= 1
    path.write_bytes(content)
    if recreated:
        path.unlink()
    in_tens(path, count=5)
    in_tens(path)
    assert all_scores(path) == wanted
    assert "starts" not in caplog.text


def test_what_a_plan_began_with_and_lost_is_matched_again_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two_plans(path := tmp_path / "pairs.log")
    path.unlink()
    assert in_tens(path).batches == 3  # all 28 pairs: nobody went through the first plan
    assert caplog.text.count("pairs that a plan started with are lost; it starts again") == 1
    assert np.isfinite(all_scores(path)).all()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"PLAN": -1}', b'{"PLAN": 1e999}', b'{"PLAN": 99}', b'{"PLAN": null}',
     b'{"PLAN": "?"}', b'{"PLAN": ""}', b'{"PLAN": "AAAAAAAAAAAAAAAA"}', b"[" * 99_999],
)  # fmt: skip
def test_a_damaged_file_of_plans_is_told_once_and_they_begin_with_what_is_there(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_tens(path := tmp_path / "pairs.log", count=5)
    with pytest.raises(KeyboardInterrupt):
        in_tens(path, 1)
    plans = path.with_suffix(".plans.json")
    digest = list(json.loads(plans.read_bytes()))[1]
    plans.write_bytes(content.replace(b"PLAN", digest.encode()))
    assert in_tens(path).batches == 1  # of the 8 pairs that are not there
    assert caplog.text.count("the pairs in the log") == 1
    assert np.isfinite(all_scores(path)).all()
    assert in_tens(path).batches == 0
    assert caplog.text.count("the pairs in the log") == 1


def test_a_file_of_plans_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "pairs.plans.json").mkdir()
    with pytest.raises(OutputError, match=r"pairs\.plans\.json: cannot be read \(Is a directory\)"):
        in_tens(tmp_path / "pairs.log")


def test_windows_hold_whole_jobs_with_the_lower_key_first() -> None:
    jobs = [Job("b", ("a", "c")), Job("d", ("a",)), Job("e", ("f", "d", "a"))]
    assert list(windows(jobs, 3)) == [
        [("a", "b"), ("b", "c"), ("a", "d")], [("e", "f"), ("d", "e"), ("a", "e")],
    ]  # fmt: skip
    assert [len(one) for one in windows(jobs, 4)] == [6]
    assert list(windows([], 4)) == []
