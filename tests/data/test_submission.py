"""`submission.csv` and `truth.csv`: what is written, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from animalclef.data.sources import find_source
from animalclef.data.submission import (
    check_submission,
    read_submission,
    read_truth,
    render_submission,
    write_submission,
)
from animalclef.data.table import LoadedTable, load_table
from animalclef.data.table_file import read_table
from animalclef.errors import DataError, OutputError, SubmissionError
from animalclef.structures import Predictions

TABLE = """image_id,identity,path,split,dataset
1,Ada,1.jpg,database,Newts
4,,4.jpg,query,Newts
2,"Bea, the younger",2.jpg,database,Newts
3,,3.jpg,query,Newts
12,,12.jpg,query,Newts
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedTable:
    """Queries 4, 3, 12 in the table; 12, 4, 3 in the sample."""
    (tmp_path / "metadata.csv").write_text(TABLE)
    (tmp_path / "sample_submission.csv").write_text("image_id,identity\n12,x\n4,x\n3,x\n")
    return load_table(find_source(tmp_path))


@pytest.fixture
def clustering(tmp_path: Path) -> LoadedTable:
    (tmp_path / "metadata.csv").write_text(TABLE)
    (tmp_path / "sample_submission.csv").write_text("image_id,cluster\n12,x\n4,x\n3,x\n")
    return load_table(find_source(tmp_path))


def predictions(**answers: str | None) -> Predictions:
    ids = np.array([name.removeprefix("q") for name in answers], dtype=object)
    return Predictions(ids, np.array(list(answers.values()), dtype=object), np.zeros(len(answers)))


def problems(loaded: LoadedTable, text: str) -> list[str]:
    path = loaded.source.root / "answer.csv"
    path.write_text(text)
    return [str(problem) for problem in check_submission(read_table(path), loaded)]


def test_render_follows_the_order_and_writes_new_individual() -> None:
    answers = predictions(q3="Ada", q4=None, q12="Bea, the younger")
    text = 'image_id,identity\n12,"Bea, the younger"\n4,new_individual\n3,Ada\n'
    assert render_submission(answers, ["12", "4", "3"]) == text


def test_round_trip(loaded: LoadedTable, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "submission.csv"
    write_submission(path, predictions(q4=None, q3="Ada", q12="Bea, the younger"), loaded)
    assert list(read_submission(path).items()) == [("12", "Bea, the younger"), ("4", None), ("3", "Ada")]
    assert check_submission(read_table(path), loaded) == []
    assert [item.name for item in path.parent.iterdir()] == ["submission.csv"]


def test_writing_asks_for_every_query_once(loaded: LoadedTable, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="2 answers, 3 queries"):
        write_submission(tmp_path / "s.csv", predictions(q4=None, q3="Ada"), loaded)
    with pytest.raises(SubmissionError, match="identity Zoe is no individual"):
        write_submission(tmp_path / "s.csv", predictions(q4=None, q3="Zoe", q12=None), loaded)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot create this folder"):
        write_submission(tmp_path / "file" / "s.csv", predictions(q4=None, q3=None, q12=None), loaded)


def test_a_right_submission_has_no_problems(loaded: LoadedTable) -> None:
    assert problems(loaded, "image_id,identity\n12,Ada\n4,new_individual\n3,Ada\n") == []


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_an_index_column(loaded: LoadedTable, index: str) -> None:
    assert problems(loaded, f"{index},image_id,identity\n0,12,Ada\n1,4,Ada\n2,3,Ada\n") == [
        f"answer.csv, line 1: expected the columns image_id,identity and no others, got {index or '(no name)'}, "
        "image_id, identity. An index column was saved with it: write with index=False."
    ]


def test_wrong_columns(loaded: LoadedTable) -> None:
    assert problems(loaded, "id,label\n12,Ada\n") == [
        "answer.csv, line 1: expected the columns image_id,identity, got id, label."
    ]
    assert problems(loaded, "identity,image_id\nAda,12\nAda,4\nAda,3\n") == [
        "answer.csv, line 1: expected the columns image_id,identity and no others, got identity, image_id."
    ]


def test_wrong_order(loaded: LoadedTable) -> None:
    assert problems(loaded, "image_id,identity\n12,Ada\n3,Ada\n4,Ada\n") == [
        "answer.csv, line 3: wrong order: expected image_id 4, got 3; keep the sample's."
    ]


def test_missing_foreign_and_repeated_ids(loaded: LoadedTable) -> None:
    assert problems(loaded, "image_id,identity\n12,Ada\n12,Ada\n1,Ada\n") == [
        "answer.csv, line 3: image_id 12 stands already on line 2.",
        "answer.csv, line 4: image_id 1 is no query of the data.",
        "answer.csv: queries without a row: 2 (first: 4, 3).",
    ]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("", "identity is empty; write new_individual for an unknown animal."),
        ("NaN", "identity is empty; write new_individual for an unknown animal."),
        ("17", "identity 17 is a number, no individual of the database; write names, not integer labels."),
        ("17.0", "identity 17.0 is a number, no individual of the database; write names, not integer labels."),
        ("ada", "identity ada is no individual of the database; write a name from it, or new_individual."),
    ],
)
def test_answers_that_would_be_scored_wrong(loaded: LoadedTable, answer: str, sentence: str) -> None:
    text = f"image_id,identity\n12,Ada\n4,{answer}\n3,Ada\n"
    assert problems(loaded, text) == [f"answer.csv, line 3: {sentence}"]


def test_names_of_digits_are_right_where_the_database_has_them(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("image_id,identity,path\n1,007,1.jpg\n2,,2.jpg\n")
    numbered = load_table(find_source(tmp_path))
    assert problems(numbered, "image_id,identity\n2,007\n") == []
    assert problems(numbered, "image_id,identity\n2,7\n") == [
        "answer.csv, line 2: identity 7 is a number, no individual of the database; write names, not integer labels."
    ]


def test_rows_of_the_wrong_length_are_problems_too(loaded: LoadedTable) -> None:
    assert problems(loaded, "image_id,identity\n12,Ada\n4,Bea, the younger\n3,Ada\n") == [
        "answer.csv, line 3: expected 2 cells, got 3; check commas and quotes.",
        "answer.csv: queries without a row: 1 (first: 4).",
    ]


def test_clusters_of_2026(clustering: LoadedTable) -> None:
    assert problems(clustering, "image_id,cluster\n12,cluster_Newts_0\n4,cluster_Newts_41\n3,cluster_Newts_0\n") == []
    assert problems(clustering, "image_id,cluster\n12,Ada\n4,cluster_Toads_1\n3,cluster_Newts_x\n") == [
        "answer.csv, line 2: cluster 'Ada': expected cluster_Newts_ and a number.",
        "answer.csv, line 3: cluster 'cluster_Toads_1': expected cluster_Newts_ and a number.",
        "answer.csv, line 4: cluster 'cluster_Newts_x': expected cluster_Newts_ and a number.",
    ]
    assert problems(clustering, "image_id,identity\n12,Ada\n") == [
        "answer.csv, line 1: expected the columns image_id,cluster, got image_id, identity."
    ]


def test_read_submission_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("image_id,identity\n1,Ada\n2,Ada\n1,Bea\n")
    with pytest.raises(SubmissionError, match="line 4: image_id 1 stands already on line 2"):
        read_submission(path)
    path.write_text("image_id,identity,score\n1,Ada,0.5\n")
    with pytest.raises(SubmissionError, match="and no others"):
        read_submission(path)
    path.write_text("image_id,identity\n1,Ada\n2\n")
    with pytest.raises(SubmissionError, match="line 3: expected 2 cells, got 1"):
        read_submission(path)
    with pytest.raises(DataError, match="no such file"):
        read_submission(tmp_path / "absent.csv")


def test_read_truth(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("image_id,identity,dataset,known\n01,Ada,Newts,1\n2,Zoe,Newts,0\n3,Bea,Newts,True\n4,7,Toads,0.0\n")
    truth = read_truth(path)
    assert truth.image_id.tolist() == ["01", "2", "3", "4"]
    assert truth.identity.tolist() == ["Ada", "Zoe", "Bea", "7"]
    assert truth.dataset.tolist() == ["Newts", "Newts", "Newts", "Toads"]
    assert truth.known.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_id,identity,dataset\n1,Ada,N\n",
         "known: no such column; there are image_id, identity, dataset. A truth file has image_id (as submitted), "
         "identity, dataset, and known (1: the database has the individual, 0: new)."),
        ("image_id,identity,dataset,known\n1,Ada,N,1\n1,Ada,N,1\n", "line 3: image_id 1 stands already on line 2."),
        ("image_id,identity,dataset,known\n1,Ada,N,yes\n", "line 2: known: expected 1 or 0, got 'yes'."),
        ("image_id,identity,dataset,known\n1,Ada,N\n", "line 2: expected 4 cells, got 3; check commas and quotes."),
    ],
)  # fmt: skip
def test_truths_that_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(SubmissionError) as caught:
        read_truth(path)
    assert str(caught.value).endswith(sentence)


def test_a_name_of_another_data_set_is_told(tmp_path: Path) -> None:
    rows = "1,Ada,1.jpg,database,Newts\n2,Leo,2.jpg,database,Lynx\n3,,3.jpg,query,Newts\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,identity,path,split,dataset\n{rows}")
    table = load_table(find_source(tmp_path))
    assert problems(table, "image_id,identity\n3,Ada\n") == []
    assert problems(table, "image_id,identity\n3,Leo\n") == [
        "answer.csv, line 2: identity Leo is an individual of Lynx, the query is of Newts."
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image_id;identity\n3;Ada\n", "answer.csv, line 1: the cells are separated by semicolons"),
        ("image_id\tidentity\n3\tAda\n", "answer.csv, line 1: the cells are separated by tabs"),
        ("image_id,identity\n3,Ada \n", "answer.csv, line 2: spaces around 'Ada '"),
        ("image_id,identity\n3, Ada\n", "answer.csv, line 2: spaces around ' Ada'"),
        ('image_id,identity\n3,"Ada "\n', "answer.csv, line 2: spaces around 'Ada '"),
        ("image_id, identity\n3,Ada\n", "answer.csv, line 1: spaces around ' identity'"),
        ("image_id,identity\n3,Ada\nimage_id,identity\n", "answer.csv, line 3: the header is repeated here"),
        ("image_id|identity\n3|Ada\n", "answer.csv, line 1: the cells are separated by bars"),
        ("# mine\nimage_id,identity\n3,Ada\n", "answer.csv, line 1: a comment before the header; the competition"),
        ("sep=,\nimage_id,identity\n3,Ada\n", "answer.csv, line 1: a line for Excel"),
        ('image_id,identity\n3,"Ada, of the lake"\n', "answer.csv, line 2: identity Ada, of the lake is no individual"),
        ("image_id,identity\n3,Ada\n".encode("utf-16"), "answer.csv: the file is UTF-16"),
        (b"image_id,identity\n3,\xff\n", "answer.csv: not a text file in UTF-8"),
    ],
)
def test_a_submission_file_is_checked_as_the_competition_reads_it(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    from animalclef.data.submission import check_submission_file

    rows = "1,Ada,1.jpg,database,Newts\n3,,3.jpg,query,Newts\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,identity,path,split,dataset\n{rows}")
    loaded = load_table(find_source(tmp_path / "metadata.csv"))
    path = tmp_path / "answer.csv"
    path.write_bytes(b"image_id,identity\n3,Ada\n")
    assert check_submission_file(path, loaded) == []
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert str(check_submission_file(path, loaded)[0]).startswith(sentence)


def test_a_truth_that_calls_one_individual_both_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("image_id,identity,dataset,known\n1,Ada,a,1\n2,Ada,b,0\n3,Ada,a,0\n")
    with pytest.raises(SubmissionError, match=r"line 4: Ada of a is known on line 2, and not here"):
        read_truth(path)


def test_each_spelling_of_the_table_is_valid_and_no_other(tmp_path: Path) -> None:
    rows = "1,Ada,1.jpg,database\n2,ADA,2.jpg,database\n3,Ada,4.jpg,database\n5,,3.jpg,query\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,identity,path,split\n{rows}")
    table = load_table(find_source(tmp_path))
    for name in ("Ada", "ADA"):
        assert problems(table, f"image_id,identity\n5,{name}\n") == []
    assert problems(table, "image_id,identity\n5,ada\n") == [
        "answer.csv, line 2: identity ada is no individual of the database; write a name from it, or new_individual."
    ]


def test_a_truth_spells_each_individual_in_one_way(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("image_id,identity,dataset,known\n1,Ada,a,1\n2,ada,a,1\n3,Ada,a,1\n4,ada,b,0\n")
    assert read_truth(path).identity.tolist() == ["Ada", "Ada", "Ada", "ada"]
    assert read_truth(path, merge_case=False).identity.tolist() == ["Ada", "ada", "Ada", "ada"]
