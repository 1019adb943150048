"""A whole training of an embedder: its command, its resume, its early end, and what stops it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from embedder_cases import TINY_TRAINING, drawn_table, tiny_training
from safetensors.torch import load_file
from tiny import make_tiny_data

from animalclef import cli
from animalclef.cli.console import training_sentence
from animalclef.config import EmbedConfig, TrainConfig, load_recipe, shipped_configs
from animalclef.data.decode import read_image
from animalclef.data.review_log import ReviewLog, SeenPhotograph
from animalclef.errors import ConfigError, DataError, RunInUseError, StaleArtefactError, TrainingError
from animalclef.features.embedding.timm_embedder import load_embedder
from animalclef.runtime.threads import worker_threads
from animalclef.structures import ImageTable
from animalclef.training.embedder import embedder_task as running
from animalclef.training.embedder.embedder_task import EmbedderTask, TrainingPlan
from animalclef.training.embedder.embedder_training import train_embedder
from animalclef.training.embedder.trained_network import build_trained
from animalclef.training.training_loop import TrainingLoop
from animalclef.training.training_task import History, Validation


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    return drawn_table(tmp_path_factory.mktemp("embedder") / "tiny")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def lines_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def validation(rank1: float, mean_ap: float) -> Validation:
    figures = {"rank-1": rank1, "mAP": mean_ap}
    return Validation({"mean": figures}, figures, (rank1, mean_ap))


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("changed", [
    {"optimiser": {"accumulate": 2}, "frozen_epochs": 1, "checkpoint_every": 2, "network": {
        "model": "arcface:test_efficientnet", "dimensions": 8, "image_size": 32, "options": {"drop_rate": 0.5}}},
    {"averaging": {"kind": "swa", "start": 0.0}, "checkpoint_every": 1},
    {"distillation": {"weight": 10.0, "teacher_view": "plain"}, "checkpoint_every": 2, "network": {
        "model": "timm:test_efficientnet", "image_size": 32, "batch_norm": "measured"}},
])  # fmt: skip
def test_a_resumed_training_ends_with_the_same_bytes(
    changed: dict[str, object], table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_training(**changed)
    whole = train_embedder(config, table, tmp_path / "whole", device="cpu", image_cache=pictures)
    step = TrainingLoop._step
    calls: list[float] = []

    def killed(self: TrainingLoop[object], *given: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 6:
            raise Killed
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingLoop, "_step", killed)
    with pytest.raises(Killed):
        train_embedder(config, table, tmp_path / "parts", device="cpu", image_cache=pictures)
    resumed = train_embedder(config, table, tmp_path / "parts", device="cpu", workers=1, image_cache=pictures)
    assert len(calls) == 6 + 2 - (config.checkpoint_every == 1)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.measured == whole.measured
    logs = [[{**line, "seconds": 0} for line in lines_of(tmp_path / name)] for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [line["step"] for line in logs[0] if "loss" in line] == [1, 2, 3, 4, 5, 6]
    # A third time there is nothing to do.
    again = train_embedder(config, table, tmp_path / "parts", device="cpu", image_cache=pictures)
    assert again.path.read_bytes() == whole.path.read_bytes()


def test_another_recipe_does_not_go_on_from_a_checkpoint(table: ImageTable, pictures: Path, tmp_path: Path) -> None:
    train_embedder(tiny_training(epochs=1), table, tmp_path, device="cpu", image_cache=pictures)
    with pytest.raises(StaleArtefactError, match="--overwrite"):
        train_embedder(tiny_training(epochs=2), table, tmp_path, device="cpu", image_cache=pictures)
    train_embedder(tiny_training(epochs=2), table, tmp_path, device="cpu", image_cache=pictures, overwrite=True)
    assert max(line["step"] for line in lines_of(tmp_path)) == 6


def test_a_loss_that_is_not_a_number_stops_with_the_photographs(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = EmbedderTask.losses
    seen: list[tuple[str, ...]] = []

    def broken(self: EmbedderTask, batch: object) -> torch.Tensor:
        seen.append(batch.image_id)  # type: ignore[attr-defined]
        losses = right(self, batch)  # type: ignore[arg-type]
        return losses * torch.tensor([1.0, float("nan"), 1, 1, 1, 1]) if len(seen) == 4 else losses

    monkeypatch.setattr(EmbedderTask, "losses", broken)
    config = tiny_training(checkpoint_every=1)
    with pytest.raises(TrainingError) as error:
        train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures)
    assert f"The loss is not a number at step 4, for image_id {seen[3][1]}." in str(error.value)
    assert max(line["step"] for line in lines_of(tmp_path)) == 3


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_gradient_that_is_not_a_number_names_the_batch(
    clip: float | None, table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = EmbedderTask.losses
    seen: list[tuple[str, ...]] = []

    def broken(self: EmbedderTask, batch: object) -> torch.Tensor:
        seen.append(batch.image_id)  # type: ignore[attr-defined]
        return right(self, batch) + (self.network.bn.weight * 0).abs().sqrt().sum()  # type: ignore[arg-type]

    monkeypatch.setattr(EmbedderTask, "losses", broken)
    with pytest.raises(TrainingError) as error:
        train_embedder(tiny_training(optimiser={"clip": clip}), table, tmp_path, device="cpu", image_cache=pictures)
    named = "; ".join(f"image_id {one}" for one in seen[0])
    assert f"gradient of the loss is not a number at step 1, for {named}." in str(error.value)


def test_training_ends_early_with_the_best_weights(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = iter([0.2, 0.4, 0.6, 0.5, 0.6, 0.1, 0.9])  # the start, then epochs 1 to 6
    after: list[dict[str, torch.Tensor]] = []

    def validated(self: EmbedderTask, network: torch.nn.Module) -> Validation:
        after.append({name: value.clone() for name, value in network.state_dict().items()})
        return validation(next(ranks), 0.5)

    monkeypatch.setattr(EmbedderTask, "validate", validated)
    config = tiny_training(epochs=6, steps_per_epoch=1, validation={**TINY_TRAINING["validation"], "patience": 3})
    outcome = train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures)
    assert outcome.measured["epoch"] == 4  # as good as epoch 2, and later
    assert outcome.measured["epochs"] == 5  # three validations after epoch 2 without a better rank-1
    assert outcome.measured["trained"]["mean"]["rank-1"] == 0.6
    written = load_file(outcome.path)
    assert torch.equal(written["bn.bias"], after[4]["bn.bias"])
    assert not torch.equal(after[5]["bn.bias"], after[4]["bn.bias"])
    assert train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures).measured == outcome.measured


def test_a_training_that_makes_it_worse_says_so(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number, (ranks, said) in enumerate((([0.6, 0.2, 0.5], True), ([0.6, 0.2, 0.6], False))):
        left = iter(ranks)
        monkeypatch.setattr(EmbedderTask, "validate", lambda self, network, left=left: validation(next(left), 0.5))
        caplog.clear()
        config = tiny_training(steps_per_epoch=1)
        outcome = train_embedder(config, table, tmp_path / str(number), device="cpu", image_cache=pictures)
        assert outcome.measured["epoch"] == 2
        assert ("was 0.600 at the start and 0.500 at best (epoch 2)" in caplog.text) == said


def test_embeddings_that_are_not_numbers_are_never_saved(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = running.embed_images
    calls: list[int] = []

    def broken(*given: object) -> np.ndarray:  # type: ignore[type-arg]
        calls.append(1)
        return embed(*given) * (float("inf") if len(calls) == 2 else 1)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "embed_images", broken)
    with pytest.raises(TrainingError, match=r"embeddings of [0-9]+ held-out photographs are not numbers"):
        train_embedder(tiny_training(), table, tmp_path, device="cpu", image_cache=pictures)
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_trains_is_not_held_out(table: ImageTable, pictures: Path, tmp_path: Path) -> None:
    plans: list[TrainingPlan] = []
    split = {"kind": "closed-set", "share": 0.4, "least_training": 2}
    config = tiny_training(epochs=1, steps_per_epoch=1, validation={"split": split})
    train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures, announce=plans.append)
    assert (plans[0].held_out, plans[0].images) == (4, len(table.gallery) - 4)  # a query each of 2 of 5, twice


def test_pairs_that_are_seldom_drawn_are_warned_of(
    table: ImageTable, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, warned in (("shuffled", True), ("pxk", False)):
        caplog.clear()
        config = tiny_training(epochs=1, steps_per_epoch=1, validation={"split": None}, loss={"kind": "contrastive"},
                               sampling={"kind": kind, "per_individual": 2})  # fmt: skip
        train_embedder(config, table, tmp_path / kind, device="cpu", image_cache=pictures)
        assert ("sampling.kind=pxk always does" in caplog.text) == warned


def test_of_equal_validations_the_latest_is_kept_but_patience_runs() -> None:
    history = History()
    scores = [(0.5, 0.3), (0.5, 0.3), (0.5, 0.2), (0.0, 1.0)]
    assert [history.note(validation(*one), step, 3) for step, one in enumerate(scores, 1)] == [True, True, False, False]
    assert (history.best_step, history.waited, history.ended) == (2, 3, True)


def test_a_frozen_backbone_stays_as_it_was_and_then_learns(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    step = TrainingLoop._step

    def watched(self: TrainingLoop[object], *given: object) -> dict[str, float]:
        states.append({name: value.clone() for name, value in self.task.model.state_dict().items()})
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingLoop, "_step", watched)
    config = tiny_training(epochs=2, steps_per_epoch=2, frozen_epochs=1, averaging={"kind": "none"})
    train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures)
    backbone = [name for name in states[0] if name.startswith("network.backbone.")]
    assert all(torch.equal(states[0][name], states[2][name]) for name in backbone)  # weights and statistics
    for name in ("network.neck.weight", "loss.centres"):
        assert not torch.equal(states[0][name], states[1][name])
    changed = [name for name in backbone if not torch.equal(states[2][name], states[3][name])]
    assert "network.backbone.layer1.0.conv1.weight" in changed
    triplets = tiny_training(network={"model": "timm:test_resnet", "image_size": 32}, loss={"kind": "triplet"},
                             sampling={"kind": "pxk", "per_individual": 2}, frozen_epochs=1)  # fmt: skip
    with pytest.raises(ConfigError, match="trains nothing but the backbone"):
        train_embedder(triplets, table, tmp_path / "triplets", device="cpu", image_cache=pictures)


def test_mixed_precision_trains_on_the_cpu(table: ImageTable, pictures: Path, tmp_path: Path) -> None:
    config = tiny_training(precision="bf16-mixed", epochs=1, steps_per_epoch=1, loss={"kind": "triplet"},
                           sampling={"kind": "pxk", "per_individual": 3})  # fmt: skip
    outcome = train_embedder(config, table, tmp_path, device="cpu", workers=2, image_cache=pictures)
    assert all(value.dtype != torch.bfloat16 for value in load_file(outcome.path).values())


def test_averages_by_hand(table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    step = TrainingLoop._step

    def watched(self: TrainingLoop[object], *given: object) -> dict[str, float]:
        figures = step(self, *given)  # type: ignore[arg-type]
        seen.append(self.task.network.neck.weight.detach().clone())  # type: ignore[union-attr, operator]
        return figures

    monkeypatch.setattr(TrainingLoop, "_step", watched)
    config = tiny_training(epochs=4, steps_per_epoch=1, averaging={"kind": "swa", "start": 0.5},
                           validation={"split": None})  # fmt: skip
    outcome = train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures)
    mean = (seen[2] + seen[3]) / 2  # epochs 3 and 4
    assert torch.allclose(load_file(outcome.path)["neck.weight"].float(), mean, atol=1e-3)
    assert outcome.measured["trained"] is None


@pytest.mark.parametrize("model", ["arcface:test_resnet", "timm:test_resnet"])
def test_distillation_holds_the_features_to_those_of_the_start(
    model: str, table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap: dict[float, float] = {}
    finish = EmbedderTask.finish

    def measured(self: EmbedderTask, network: torch.nn.Module, *given: object) -> dict[str, object]:
        start = running.deepcopy(network)
        start.load_state_dict(first)
        pixels = self.trained.preprocessing.normalise(self.batch(0).pixels, "cpu")
        with torch.no_grad():
            pooled = [running._pooled_and_embedding(one, pixels)[0] for one in (network, start.eval())]
        gap[self.config.distillation.weight] = float((pooled[0] - pooled[1]).norm() / pooled[1].norm())
        return finish(self, network, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbedderTask, "finish", measured)
    settings = {"dimensions": 8} if model.startswith("arcface") else {}
    for weight in (0.0, 300.0):
        network = {"model": model, "image_size": 32, "batch_norm": "frozen", **settings}
        config = tiny_training(
            network=network, distillation={"weight": weight}, averaging={"kind": "none"}, epochs=4,
            validation={"split": None}, optimiser={"learning_rate": 1e-3},
        )  # fmt: skip
        torch.manual_seed(config.seed)
        first = build_trained(config.network).module.state_dict()
        train_embedder(config, table, tmp_path / str(weight), device="cpu", image_cache=pictures)
    assert gap[300.0] < 0.5 * gap[0.0]
    assert gap[0.0] > 0.01


def test_too_few_individuals_are_one_sentence(table: ImageTable, pictures: Path, tmp_path: Path) -> None:
    alone = table.select(np.flatnonzero((table.identity == "NewtID_0") | table.is_query))
    with pytest.raises(DataError, match=r"nobody is left to train on; 3 named photographs of 1 individuals"):
        train_embedder(tiny_training(), alone, tmp_path, device="cpu", image_cache=pictures)
    config = tiny_training(validation={"split": None})
    with pytest.raises(DataError, match=r"1 of 1 individuals .* training needs two"):
        train_embedder(config, alone, tmp_path, device="cpu", image_cache=pictures)
    with pytest.raises(DataError, match=r"0 of 0 individuals"):
        train_embedder(config, table.queries, tmp_path, device="cpu", image_cache=pictures)


def test_two_trainings_do_not_share_a_folder(table: ImageTable, tmp_path: Path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(RunInUseError, match="another process is training there"):
        train_embedder(tiny_training(), table, tmp_path, device="cpu")


def test_queries_are_never_looked_at_and_what_it_costs_is_told(
    table: ImageTable, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[str] = set()
    losses = EmbedderTask.losses

    def watched(self: EmbedderTask, batch: object) -> torch.Tensor:
        drawn.update(batch.image_id)  # type: ignore[attr-defined]
        return losses(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbedderTask, "losses", watched)
    plans: list[TrainingPlan] = []
    config = tiny_training(epochs=7)
    train_embedder(config, table, tmp_path, device="cpu", image_cache=pictures, announce=plans.append)
    held = plans[0].held_out
    assert held > 0
    assert len(drawn) == plans[0].images == len(table.gallery) - held
    assert drawn <= set(table.gallery.image_id)
    assert (plans[0].steps, plans[0].batch, plans[0].seconds) == (21, 6, None)
    assert [plan.seconds is None for plan in plans] == [True, False]
    assert training_sentence(plans[0]).endswith(" 7 epochs, 21 steps of 6 photographs.")
    assert "validation not counted" in training_sentence(plans[1])
    frozen: list[TrainingPlan] = []
    config = tiny_training(epochs=10, frozen_epochs=2)
    train_embedder(config, table, tmp_path / "frozen", device="cpu", image_cache=pictures, announce=frozen.append)
    assert [plan.frozen for plan in frozen] == [False, True, False]
    assert "longer once the backbone is trained too" in training_sentence(frozen[1])


def test_the_command_trains_and_its_file_works_in_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_data(Path("data"))
    broken = Path("data/images/CatID/1_1.jpg")
    broken.write_bytes(broken.read_bytes()[:200])
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY_TRAINING))

    def said(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["animalclef", "train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, " ".join(told.err.split())

    options = ("--data", "data", "--config", "tiny.yaml", "--device", "cpu", "--workers", "1")
    status, out, err = said(*options, "--out", "out", "--json")
    assert status == 0, err
    result = json.loads(out)
    assert (result["network"], result["epochs"]) == ("out/tiny.safetensors", 2)
    assert set(result["trained"]["mean"]) == {"rank-1", "rank-5", "rank-10", "rank-20", "mAP"}
    assert result["start"]["CatID"]["queries"] > 0
    assert json.loads(Path("out/measured.json").read_text())["trained"] == result["trained"]
    assert "1 photograph was left out (first: images/CatID/1_1.jpg: " in err
    assert "2 epochs, 6 steps of 6 photographs." in err
    assert list(Path("out/events").glob("events.out.tfevents.*"))

    extractor = load_embedder(EmbedConfig(model="file:out/tiny.safetensors"), "cpu")
    table = drawn_table(tmp_path / "data2")
    with worker_threads(1) as pool:
        entry = extractor.extract_features([read_image(table, 0, TrainConfig().data)], pool)[0]
    assert entry["embedding"].shape == (8,)

    status, out, err = said(
        *options, "--out", "next", "--start", "out/tiny.safetensors", "--set", "network.dimensions=6"
    )
    assert status == 0
    assert "Not in the start, so new: bn.bias" in err
    assert "trained mean" in " ".join(out.split())
    status, _, err = said(*options, "--out", "wrong", "--set", "batchsize=3")
    assert (status, "did you mean batch_size?" in err) == (2, True)
    status, _, err = said(*options, "--out", "wrong", "--set", "labels.only=[DogID]")
    assert (status, "no data set DogID in data; there are CatID, NewtID." in err) == (2, True)


@pytest.mark.parametrize("name", ["miewid", "triplet-resnet50", "resnet50-arcface", "efficientnet-b3-arcface",
                                  "embedder-lite", "embedder-lite-tune", "embedder-lite-laptop"])  # fmt: skip
def test_the_shipped_recipes_are_valid(name: str) -> None:
    assert name in shipped_configs("training")
    recipe = load_recipe(TrainConfig, name)
    assert recipe.name == name
    assert recipe.frozen_epochs < recipe.epochs


def test_the_recipe_of_miewid_is_miewid_s() -> None:
    recipe = load_recipe(TrainConfig, "miewid")
    assert (recipe.loss.sub_centres, recipe.loss.scale, recipe.loss.margin_rad) == (3, 51.96, 0.328)
    assert recipe.loss.dynamic_margins
    assert (recipe.network.model, recipe.network.image_size) == ("miewid-msv3", 440)
    assert (recipe.schedule.kind, recipe.schedule.decay, recipe.frozen_epochs) == ("ramp-decay", 0.8, 3)
    triplets = load_recipe(TrainConfig, "triplet-resnet50")
    assert triplets.batch_size == 16 * triplets.sampling.per_individual == 64


def test_queries_that_a_review_named_are_trained_on(table: ImageTable, pictures: Path, tmp_path: Path) -> None:
    queries, luna = table.queries, table.gallery.select(np.array([0]))
    mine = queries.image_id[queries.dataset == luna.dataset[0]]
    path_of = dict(zip(table.image_id, table.path, strict=True))

    def seen(image_id: str) -> SeenPhotograph:
        return SeenPhotograph(image_id, "", path_of[image_id])

    log = ReviewLog(tmp_path / "review.jsonl")
    for one, other in ((mine[0], luna.image_id[0]), (mine[1], mine[2])):
        log.add("Ada", "same", (seen(one), seen(other)), {})
    log.add("Ada", "different", (seen(mine[3]), seen(luna.image_id[0])), {})
    plans: list[TrainingPlan] = []
    config = tiny_training(validation={"split": None}, epochs=1)
    for name, given in (("plain", None), ("reviewed", log.path)):
        train_embedder(config, table, tmp_path / name, device="cpu", image_cache=pictures, reviewed=given,
                       announce=plans.append)  # fmt: skip
    assert (plans[-1].images - plans[0].images, plans[-1].classes - plans[0].classes) == (3, 1)
    with pytest.raises(StaleArtefactError):  # other photographs: not the training that lies there
        train_embedder(config, table, tmp_path / "plain", device="cpu", image_cache=pictures, reviewed=log.path)
    log.path.write_text(
        '{"kind": "review", "format": 1}\n{"kind": "answer", "when": "", "who": "Ada", "said": "same", "pair": '
        '[{"image_id": "0", "key": "1", "path": "a.jpg"}, {"image_id": "1", "key": "2", "path": "b.jpg"}]}\n'
    )
    with pytest.raises(StaleArtefactError, match="the review of another run"):
        train_embedder(config, table, tmp_path / "other", device="cpu", image_cache=pictures, reviewed=log.path)
