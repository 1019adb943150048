"""Settings: files, assignments, sentences, fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from animalclef.config import (
    Config,
    TrainConfig,
    TrainMatcherConfig,
    fingerprint,
    load_config,
    load_recipe,
    shipped_configs,
)
from animalclef.config.matching import RerankMember
from animalclef.errors import ConfigError


def refused(*assignments: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(None, assignments)
    return str(error.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("retrieve.topk", "retrieve.top_k"),
        ("rerank.ration", "rerank.ratio"),
        ("top_k", "retrieve.top_k"),
        ("keypoint.max_keypoints", "keypoints"),
        ("decide.trails", "decide.trials"),
        ("sed", "seed"),
    ],
)
def test_an_unknown_setting_names_the_nearest(wrong: str, right: str) -> None:
    sentence = refused(f"{wrong}=1")
    assert "no such setting" in sentence
    assert f"did you mean {right}" in sentence


def test_a_setting_like_no_other_lists_what_there_is() -> None:
    sentence = refused("xyzzy=1")
    assert "xyzzy: no such setting; known: name, seed" in sentence
    assert "decide" in sentence
    assert sentence.endswith("`animalclef config show` lists what is in them.")


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("retrieve.top_k=0", "retrieve.top_k: input should be greater than or equal to 1", "0"),
        ("data.cache_gb=inf", "data.cache_gb: input should be a finite number", "'inf'"),
        ("cluster.margin=.inf", "cluster.margin: input should be a finite number", "inf"),
        ("embed.mean=[.nan,1,1]", "embed.mean.0: input should be a finite number", "nan"),
        ("retrieve.top_k=many", "retrieve.top_k: input should be a valid integer", "'many'"),
        ("rerank.ratio=1.5", "rerank.ratio: input should be less than or equal to 1", "1.5"),
        ("rerank.matcher=spline", "rerank.matcher: input should be 'mutual-nearest'", "'spline'"),
        ("seed=-1", "seed: input should be greater than or equal to 0", "-1"),
        ("retrieve.top_k=", "retrieve.top_k: input should be a valid integer", "None"),
        ("embed.bin_sizes=[0]", "embed.bin_sizes: numbers must be above 0, and at most 512", "[0]"),
        ("embed.std=[1, 0, 1]", "embed.std: numbers must be above 0, and at most 512", "[1, 0, 1]"),
        ("embed.step=0", "embed.step: input should be greater than or equal to 1", "0"),
    ],
)
def test_a_bad_value_is_told_with_what_was_expected(assignment: str, key: str, value: str) -> None:
    sentence = refused(assignment)
    assert sentence.startswith(f"settings: {key}")
    assert sentence.endswith(f"got {value}.")
    assert sentence.count(", got ") == 1


def test_assignments_are_yaml_and_the_last_one_wins() -> None:
    config = load_config(
        None,
        ["retrieve.top_k=7", "retrieve.top_k=8", "embed.bin_sizes=[5, 6]", "keypoints.equalise=no",
         "retrieve.same_viewpoint=[SalamanderID2025]", "embed.weights=a=b.safetensors", " seed =3"],
    )  # fmt: skip
    assert config.retrieve.top_k == 8
    assert config.embed.bin_sizes == (5, 6)
    assert config.keypoints.equalise is False
    assert config.retrieve.same_viewpoint == ("SalamanderID2025",)
    assert config.embed.weights == "a=b.safetensors"
    assert config.seed == 3


def test_assignments_that_are_none() -> None:
    assert refused("retrieve.top_k") == ("retrieve.top_k: expected KEY=VALUE, for example retrieve.top_k=50.")
    assert "is a value, not a group" in refused("seed=3", "seed.deep=3")
    assert "not valid YAML" in refused("embed.bin_sizes=[1, 2")


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_a_file_holds_differences_and_names_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "retrieve:\n  top_k: 9\n")
    config = load_config(path, ["retrieve.same_viewpoint=true"], seed=5)
    assert (config.name, config.seed) == ("mine", 5)
    assert config.retrieve.top_k == 9
    assert config.retrieve.same_viewpoint is True
    assert config.decide == Config().decide
    assert load_config(write(tmp_path / "b.yaml", "name: other\n")).name == "other"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, encoding: str) -> None:
    assert load_config(write(tmp_path / "mine.yaml", "seed: 4\r\n", encoding)).seed == 4


@pytest.mark.parametrize("text", ["", "# only a comment\n", "decide:\n", "decide:\n#  trials: 3\nseed: 0\n"])
def test_empty_files_and_empty_groups_are_the_defaults(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "mine.yaml", text)
    assert load_config(path) == Config(name="mine")
    assert load_config(path, ["decide.trials=5"]).decide.trials == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "expected `key: value` lines, got list"),
        ("seed: [1\n", "not a readable YAML file"),
        ("seed: !!python/object:os.system {}\n", "not a readable YAML file"),
        ("retrieve: 5\n", "retrieve: input should be"),
        ("5: 5\n", "5"),
        ("name: a/b\n", "name: string should match pattern"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path / "mine.yaml", text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(str(path))
    assert sentence in str(error.value)


def test_an_absent_file_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such configuration file. Shipped ones: animalclef2025, .*offline"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="not a readable YAML file"):
        load_config(write(tmp_path / "latin.yaml", "name: é\n", "latin-1"))


def test_shipped_configurations_are_right_and_carry_their_name() -> None:
    shipped = shipped_configs()
    assert {"offline", "animalclef2025", "animalclef2025-full", "animalclef2026"} <= set(shipped)
    for name in shipped:
        assert load_config(name).name == name
    assert load_config("offline") == Config()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Config().seed = 3  # type: ignore[misc]


def other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 0.5 + 0.25 if isinstance(value, float) else value + 1
    if isinstance(value, tuple):
        return (*value, RerankMember())
    if isinstance(value, dict):
        return {"more": 1}
    return "another" if isinstance(value, str) else (0.5, 0.5, 0.5)


def leaves(model: BaseModel, folder: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        found += leaves(value, (*folder, name)) if isinstance(value, BaseModel) else [(*folder, name)]
    return found


def changed(model: BaseModel, place: tuple[str, ...]) -> BaseModel:
    """A copy with one leaf changed; whether the value is allowed does not matter here."""
    name, *below = place
    value = getattr(model, name)
    new = changed(value, tuple(below)) if below else other_value(value)
    return model.model_copy(update={name: new})


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_the_fingerprint_changes_with_every_setting() -> None:
    config = Config()
    places = leaves(config)
    assert len(places) > 30
    prints = {fingerprint(config), *(fingerprint(changed(config, place)) for place in places)}
    assert len(prints) == len(places) + 1


def test_a_fingerprint_is_sixteen_digits_that_never_change() -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint("a")) == 16
    assert fingerprint("a", "b") != fingerprint("ab") != fingerprint("b", "a")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 1\nseed: 2\n", "the key seed stands twice, line 1 and below"),
        ("retrieve:\n  top_k: 5\n  top_k: 6\n", "the key top_k stands twice, line 2 and below"),
    ],
)
def test_a_key_that_stands_twice_is_an_error(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "assignment",
    [
        "embed.image_size=1000000000",
        "keypoints.max_keypoints=100000000",
        "decide.trials=1000000000000",
        "seed=2147483648",
    ],
)
def test_an_absurd_number_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="input should be less than or equal to"):
        load_config(None, [assignment])


def test_a_setting_that_has_gone_loads_and_is_told_where_it_was_used(caplog: pytest.LogCaptureFixture) -> None:
    earlier = [
        "decide.relative_scores=false",
        "decide.rules=[probability]",
        "keypoints.spread=false",
        "decide.shrinkage=10",
        "budget.steps=[3, 6, 10, 15, 20, 30, 40, 60, 80]",
        "embed.members=[{model: embedder-lite, flip: true, codebook_images: 200}]",
        "decide.trials=3",
    ]
    assert load_config(None, earlier) == load_config(None, ["decide.trials=3"])
    assert caplog.text == ""
    others = ["keypoints.spread=true", "decide.calibrations=[beta]", "decide.safe_threshold=false"]
    assert load_config(None, [*others, "embed.place_weight=2"]) == Config()
    told = [record.message.partition(":")[0] for record in caplog.records]
    assert told == ["place_weight", "spread", "calibrations", "safe_threshold"]
    assert caplog.records[0].message.endswith("has gone and has no effect (see CHANGELOG). Remove it.")


def test_another_transform_than_a_similarity_is_refused() -> None:
    assert load_config(None, ["rerank.geometry=similarity"]) == Config()
    assert refused("rerank.geometry=affine") == (
        "settings: rerank: geometry must be similarity: affine and homography matched worse and were removed, got "
        "{'geometry': 'affine'}."
    )
    assert "geometry must be similarity" in refused("rerank.members=[{geometry: homography}]")


def test_a_matcher_is_trained_on_sift_alone() -> None:
    with pytest.raises(ConfigError, match=r"keypoints\.extractor = disk: a matcher is trained on sift alone"):
        load_recipe(TrainMatcherConfig, "lightglue-sift", ["keypoints.extractor=disk"])


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        (
            "keypoints.upright=CatID",
            "keypoints.upright is auto, true, false or a list of data sets such as [CatID]; got 'CatID'.",
        ),
        ("keypoints.upright=[1]", "keypoints.upright.0: input should be a valid string, got 1."),
        (
            "prepare.mode=cut",
            "prepare.mode is auto, whole, masked, cut-out, along-body or a mapping such as {CatID: VALUE}; got 'cut'. "
            "Did you mean cut-out?",
        ),
        (
            "prepare.mode={CatID: cut}",
            "prepare.mode.CatID: input should be 'auto', 'whole', 'masked', 'cut-out' or 'along-body', got 'cut'. "
            "Did you mean cut-out?",
        ),
        ("decide.unknown_share=2", "decide.unknown_share: input should be less than 1, got 2."),
        ("decide.unknown_share={CatID: 2}", "decide.unknown_share.CatID: input should be less than 1, got 2."),
        (
            "decide.pseudo_queries=x",
            "decide.pseudo_queries is a whole number or a mapping such as {CatID: VALUE}; got 'x'.",
        ),
        (
            "rerank.members=[{keypoints: {upright: 3}}]",
            "rerank.members.0.keypoints.upright is auto, true, false or a list of data sets such as [CatID]; got 3.",
        ),
        (
            "embed.model_options={depth: [1]}",
            "embed.model_options.depth is text, a whole number, a number, true or false; got [1].",
        ),
    ],
)
def test_a_setting_of_several_kinds_is_explained_in_one_sentence(assignment: str, sentence: str) -> None:
    assert refused(assignment) == f"settings: {sentence}"


@pytest.mark.parametrize("assignment", ["retrieve.top_k=true", "decide.threshold=yes", "seed=false"])
def test_true_is_no_number(assignment: str) -> None:
    assert "a number is expected, got " in refused(assignment)


def test_a_date_of_a_recipe_is_explained_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"cut_off is a day \(YYYY-MM-DD\) or a mapping .*; got 'May'"):
        load_recipe(TrainConfig, None, ["validation.split={kind: time, cut_off: May}"])


@pytest.mark.parametrize(
    "assignment",
    [
        "keypoints.upright=[KatID]",
        "keypoints.views={KatID: [flip]}",
        "prepare.mode={KatID: whole}",
        "retrieve.same_viewpoint=[KatID]",
        "decide.hidden_days={KatID: 1}",
    ],
)
def test_a_setting_for_an_unknown_data_set_is_an_error(assignment: str) -> None:
    setting = assignment.partition("=")[0]
    with pytest.raises(ConfigError) as error:
        load_config(None, [assignment]).check_datasets(["CatID", "NewtID"])
    assert str(error.value) == f"{setting}: the table has no data set KatID; it has CatID, NewtID."


@pytest.mark.parametrize(
    "assignment", ["keypoints.upright=[CatID]", "prepare.mode={NewtID: whole}", "keypoints.upright=true", "seed=1"]
)
def test_settings_for_known_data_sets_pass(assignment: str) -> None:
    load_config(None, [assignment]).check_datasets(["CatID", "NewtID"])


def test_a_setting_that_serves_another_table_as_well_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    load_config(None, ["keypoints.upright=[CatID, KatID]"]).check_datasets(["CatID", "NewtID"])
    assert caplog.messages == ["keypoints.upright: the table has no data set KatID; it has CatID, NewtID."]


def test_a_dotted_name_in_a_file_is_told_how_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("prepare.mode: whole\n")
    with pytest.raises(
        ConfigError, match=r"prepare\.mode: no such setting: in YAML, write prepare: \{mode: \.\.\.\}\."
    ):
        load_config(tmp_path / "my.yaml")


@pytest.mark.parametrize("model", [Config, TrainConfig])
def test_settings_show_what_is_not_the_default(model: type[Any]) -> None:
    assert repr(model()) == f"{model.__name__}()"
    for name in shipped_configs(model.shipped_in):
        if model is Config or name != "lightglue-sift":
            shown = repr(load_recipe(model, name))
            assert shown.startswith(f"{model.__name__}(")
            assert len(shown) < 1500
    changed = load_config(None, ["retrieve.top_k=7", "seed=0"])
    assert str(changed) == "retrieve=RetrieveConfig(top_k=7)"


def test_settings_that_were_removed_are_read_where_they_said_nothing() -> None:
    kept = {"retrieve": {"rescore": [], "neighbours": 5, "top_k": 7}}
    assert Config.model_validate(kept).retrieve == Config.model_validate({"retrieve": {"top_k": 7}}).retrieve
    for said in ({"rescore": ["expanded"]}, {"neighbours": 7}):
        with pytest.raises(ValidationError, match="Extra inputs"):
            Config.model_validate({"retrieve": said})


def test_a_text_in_place_of_a_list_is_answered_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"retrieve.sources: a list is due, such as \[vote\]\."):
        load_config(None, ["retrieve.sources=vote"])
