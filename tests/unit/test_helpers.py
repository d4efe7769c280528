"""Helpers beside the target: their weight, the questions, what they leave alone, a run with helpers, bad input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import headstart as hs
import tiny_models
from headstart import models
from headstart.approaches import Care, _beside, train
from headstart.approaches.finetune import FineTune
from headstart.approaches.scratch import Scratch
from headstart.auxiliary import Auxiliary, Question, listed
from headstart.auxiliary._labelled import Labelled
from headstart.auxiliary.masked import ELSE, Masked, masked
from headstart.auxiliary.rotation import Rotation, turned
from headstart.cli import app
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.evaluation import baselines
from headstart.predictor import Predictor
from headstart.tasks._heads import LinearHead
from headstart.tasks.classification import Classification
from headstart.training.batches import Batches
from headstart.training.run import Run, sow
from headstart.tuning import decayed
from tiny import NumberBackbone, backbone, dataset, frozen_bytes, saved, split, task


def two_numbers(width: int = 12) -> NumberBackbone:
    """Numbers in, eight features out."""
    sow(1, 5)
    return NumberBackbone(nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 8)), 8)


def numbers(count: int, seed: int, noise: float = 0.0, rule: str = "sum", shift: float = 0.0) -> Dataset:
    """Twelve numbers and whether the first four add up to more than 0 (or what another rule says)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 12)) + shift
    right = values[:, :4].sum(1) > 4 * shift
    asked = {"sum": right, "chance": rng.random(count) > 0.5}[rule] ^ (rng.random(count) < noise)
    return Dataset([dict(zip("abcdefghijkl", row, strict=True)) for row in values], [f"{seed}/{i}" for i in range(count)],
                   [str(bool(one)) for one in asked], "table")  # fmt: skip


YES = Classification.learn(["False", "True"])


def trained(helpers: dict[str, Auxiliary], small: int = 40, epochs: int = 25) -> tuple[float, list[dict[str, float]]]:
    """Accuracy on test of a target with few samples, and the rows of its training."""
    cut = Split(numbers(small, 1), numbers(60, 2), numbers(400, 3))
    own, run = two_numbers(), Run(stage="toy", seed=3)
    sow(3, 2)
    head = YES.head(8)
    groups = decayed([*own.parameters(), *head.parameters()], 0.02)
    train(
        own,
        head,
        YES,
        cut,
        run,
        groups=groups,
        settings=Scratch(epochs=epochs, batch_size=10, augment="", still_norms=True),
        care=Care(helpers=helpers, head_rate=0.02),
    )
    predictor = Predictor(own.eval(), head.eval(), YES, "table")
    return YES.score(predictor.probabilities(cut.test), cut.test.labels or [])["accuracy"], [
        row for row in run.history if row["epoch"]
    ]


def test_a_helper_that_agrees_counts_and_one_of_chance_hardly_counts_and_does_not_hurt() -> None:
    alone, _ = trained({})
    helped, rows = trained({"more": Labelled(numbers(600, 4), YES)})
    unhurt, chance = trained({"chance": Labelled(numbers(600, 5, rule="chance"), YES)})
    weights = [
        float(np.mean([row[f"valid_helper weight {name}"] for row in some]))
        for name, some in (("more", rows), ("chance", chance))
    ]
    assert weights[0] > 3 * weights[1] and weights[1] < 0.03, weights
    assert abs(float(np.mean([row["valid_helper cosine chance"] for row in chance]))) < 0.03
    assert helped >= alone and unhurt >= alone - 0.02, (alone, helped, unhurt)
    assert all(row["valid_helper loss chance"] > 0.6 for row in chance), "there is nothing to learn from it"


@pytest.mark.parametrize(("flipped", "wanted"), [(False, 1.0), (True, 0.0)])
def test_the_weight_is_the_cosine_of_the_gradients_and_never_below_zero(flipped: bool, wanted: float) -> None:
    own, head, twin = two_numbers(), LinearHead(8, 2), LinearHead(8, 2)
    twin.load_state_dict(head.state_dict())
    batch = next(iter(Batches(numbers(20, 1), YES.encode(numbers(20, 1).labels or []), own, 20)(0)))
    asked = replace(batch, labels=1 - batch.labels) if flipped else batch
    made = _beside.Beside({"twin": Question(twin, lambda shown, epoch: iter(()))}, list(own.parameters()), "x")
    main = head.losses(own(batch.inputs), batch.labels)["cross_entropy"]
    plain = torch.autograd.grad(main, list(own.parameters()), retain_graph=True)
    found = made.losses(own, main, [asked])
    assert float(found["helper twin"].detach()) == 0, "what is reported stays the loss of the target"
    (main + found["helper twin"]).backward()
    for parameter, slope in zip(own.parameters(), plain, strict=True):
        assert torch.allclose(parameter.grad, (1 + wanted) * slope, atol=1e-6)
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in twin.parameters()), "its head learns in any case"
    told = made.drain()
    assert told["helper weight twin"] == pytest.approx(wanted, abs=1e-5) and (told["helper cosine twin"] < -0.3) is flipped
    assert not made.drain(), "told once"


def test_a_loss_that_is_no_number_leaves_the_target_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(_beside, "say", said.append)
    own, head, broken = two_numbers(), LinearHead(8, 2), LinearHead(8, 2)
    broken.linear.weight.data.fill_(float("nan"))
    batch = next(iter(Batches(numbers(20, 1), YES.encode(numbers(20, 1).labels or []), own, 20)(0)))
    made = _beside.Beside({"odd": Question(broken, lambda shown, epoch: iter(()))}, list(own.parameters()), "x")
    for _ in range(2):
        assert made.losses(own, head.losses(own(batch.inputs), batch.labels)["cross_entropy"], [batch]) == {}
    assert len(said) == 1 and "the loss of the helper 'odd' became nan" in said[0]


def test_pictures_are_turned_and_the_turns_are_the_labels() -> None:
    pictures = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    found = turned(pictures, np.array([0, 1]))
    assert torch.equal(found[0], pictures[0]) and torch.equal(found[1], pictures[1].transpose(1, 2).flip(1))
    own, part = backbone(), dataset(4)
    batches = Batches(part, task().encode(part.labels or []), own, 6)
    question = Rotation().begin(own, 6, (), 0)
    one, again, other = (list(question.posed(batches(1), epoch)) for epoch in (1, 1, 2))
    assert len(one) == len(batches) and all(torch.equal(a.labels, b.labels) for a, b in zip(one, again, strict=True))
    assert not all(torch.equal(a.labels, b.labels) for a, b in zip(one, other, strict=True)) and one[0].labels.max() < 4
    with pytest.raises(Incompatible, match="as squares"):
        turned(torch.zeros(2, 3, 4, 5), np.array([0, 1]))


def test_tokens_are_masked_as_bert_does() -> None:
    rng = np.random.default_rng(0)
    ids = np.concatenate([np.ones((300, 1), int), rng.integers(10, 100, (300, 30)), np.zeros((300, 5), int)], 1)
    mask = (ids > 0).astype(int)
    hidden, labels = masked(ids, mask, (4, 100), np.array([0, 1, 4]), 0.15, rng)
    asked = labels != ELSE
    assert asked[:, 0].sum() == 0 and asked[:, -5:].sum() == 0, "neither special tokens nor padding"
    assert asked[:, 1:31].mean() == pytest.approx(0.15, abs=0.01) and (labels[asked] == ids[asked]).all()
    assert (hidden[asked] == 4).mean() == pytest.approx(0.8, abs=0.04) and (hidden == ids)[~asked].all()
    assert (hidden[asked] == ids[asked]).mean() == pytest.approx(0.1, abs=0.03)


def test_a_bert_learns_masked_tokens_beside_its_task(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    reference, cut = tiny_models.bert(tmp_path), tiny_models.split("text")
    with pytest.raises(Incompatible, match=r"needs a token \[MASK\] or <mask>.*no BERT-like model"):
        FineTune(helper="masked").fit(models.load(reference), task(), cut, Run())
    words = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    words.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    words.save(str(tmp_path / "tokenizer.json"))
    own = models.load(reference)
    question = Masked().begin(own, 8, (), 0)
    batches = Batches(cut.train, task().encode(cut.train.labels or []), own, 8)
    asked = list(question.posed(batches(1), 1))
    assert all((batch.inputs["ids"] != shown.inputs["ids"])[batch.labels == ELSE].sum() == 0  # type: ignore[call-overload, index]
               for batch, shown in zip(asked, batches(1), strict=True))  # fmt: skip
    slopes = question.head.losses(own(asked[0].inputs), asked[0].labels)["tokens"]
    slopes.backward()
    assert any(parameter.grad is not None and float(parameter.grad.abs().sum()) > 0 for parameter in own.parameters())
    nothing = question.head.losses(own(asked[0].inputs), torch.full_like(asked[0].labels, ELSE))["tokens"]
    assert float(nothing.detach()) == 0, "a batch without any masked token asks nothing"
    run = Run(seed=1, stage="finetune")
    found = FineTune(epochs=2, batch_size=8, helper="masked:0.3", learning_rate=0.001).fit(own, task(), cut, run)
    rows = [row for row in run.history if "valid_helper weight masked" in row]
    assert len(rows) == 2 and all(0 <= row["valid_helper weight masked"] <= 1 for row in rows)
    assert set(dict(found.head.named_parameters())) == {"linear.weight", "linear.bias"}, "what helped is thrown away"


@pytest.mark.parametrize("norms", [True, False])
def test_a_helper_changes_neither_what_is_frozen_nor_the_statistics_of_batch_norms(norms: bool, tmp_path: Path) -> None:
    own, parts = backbone(), replace(split(), helpers={"more": (dataset(3, 9), "classification")})
    settings = FineTune(
        epochs=1, batch_size=8, augment="", tuning="last:1", still_norms=norms, helper="rotation", learning_rate=1e-3
    )
    run = Run(tmp_path, seed=3, stage="finetune")
    found = settings.fit(own, task(), parts, run)
    moved = {id(parameter) for parameter in own.stages[-1].parameters()}
    frozen = [name for name, parameter in own.named_parameters() if id(parameter) not in moved]
    before, after = frozen_bytes(own), frozen_bytes(found.backbone)
    assert frozen and all(before[name] == after[name] for name in frozen)
    assert {key for row in run.history for key in row if "helper weight" in key} == {
        "valid_helper weight rotation",
        "valid_helper weight more",
    }
    with _beside.undisturbed(found.backbone.train()):
        stood = {name: value.clone() for name, value in found.backbone.named_buffers() if "running" in name}
        found.backbone(torch.randn(4, 3, 32, 32) + 5)
    assert stood and all(
        torch.equal(value, dict(found.backbone.named_buffers())[name]) for name, value in stood.items()
    )
    again = settings.fit(own, task(), parts, Run(tmp_path, seed=3, stage="finetune"))  # from its last checkpoint
    assert frozen_bytes(again.head) == frozen_bytes(found.head)
    with pytest.raises(hs.HeadstartError, match="helper more content"):
        settings.fit(
            own,
            task(),
            replace(parts, helpers={"more": (dataset(3, 8), "classification")}),
            Run(tmp_path, seed=3, stage="finetune"),
        )


def test_a_small_helper_comes_again_and_again() -> None:
    own = two_numbers()
    question = Labelled(numbers(3, 1), YES).begin(own, 10, (), 0)
    shown = [next(iter(question.posed(iter([None] * 4), epoch))) for epoch in (1, 2)]  # type: ignore[list-item]
    assert all(len(batch.labels) == 10 and set(batch.places % 3) <= {0, 1, 2} for batch in shown)


def written(folder: Path, name: str, part: Dataset, labels: Sequence[str]) -> Path:
    from PIL import Image

    (folder / name).mkdir(exist_ok=True)
    lines = ["path,label"]
    for place, (item, label) in enumerate(zip(part.items, labels, strict=True)):
        Image.fromarray(np.asarray(item)).save(folder / name / f"{place}.png")
        lines.append(f"{place}.png,{label}")
    (folder / name / "labels.csv").write_text("\n".join(lines))
    return folder / name / "labels.csv"


def test_from_the_command_line_to_a_report_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    for name in ("LEAST_EPOCHS", "LEAST_STEPS"):
        monkeypatch.setattr(baselines, name, 1)
    small, large = dataset(6, 1), dataset(8, 2)
    target = written(tmp_path, "small", small, small.labels or [])
    mixed = Dataset([*large.items, *small.items], [*large.names, *small.names], None, "image")
    other = written(
        tmp_path, "large", mixed, [str(label == "ring") for label in (*(large.labels or ()), *(small.labels or ()))]
    )
    found = CliRunner().invoke(app, ["fit", str(target), "--helper", f"round={other}", "--helper", "rotation", "--model", str(saved(tmp_path / "tiny")),
                                     "--set", "epochs=1", "--set", "batch_size=6", "--set", "augment=", "--approach", "finetune",
                                     "--out", str(tmp_path / "run"), "--json"])  # fmt: skip
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["config"]["helpers"] == {"round": str(other)} and result["config"]["approach"]["helper"] == "rotation"
    assert set(result["helpers"]["weights"]) == {"rotation", "round"} and result["helpers"]["answer"] in (
        "helped",
        "no clear gain",
        "hurt",
    )
    assert set(result["scores"]["per_class"]) == {"ring", "bar", "cross"} and "tasks" not in result["scores"]
    held = sum(sum(result["data"]["counts"][side].values()) for side in ("valid", "test"))
    assert any(
        f"helper round: {held} of its samples are copies of validation or test samples" in note
        for note in result["data"]["notes"]
    )
    html = (tmp_path / "run" / "report.html").read_text()
    assert "What the helpers weighed" in html and "Cosine with the target of each helper" in html
    again = hs.rerun(tmp_path / "run", tmp_path / "again")
    assert (
        again.result["helpers"]["weights"] == result["helpers"]["weights"]
        and again.result["scores"] == result["scores"]
    )
    text = CliRunner().invoke(app, ["fit", str(target), "--helper", "rotation", "--model", str(tmp_path / "tiny"), "--set", "epochs=1", "--approach",
                                    "finetune", "--baseline", "none", "--out", str(tmp_path / "bare")]).output  # fmt: skip
    assert "helper rotation: mean weight" in text and "over the same training without" not in text


def test_a_helper_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    target = written(tmp_path, "small", dataset(6, 1), dataset(6, 1).labels or [])
    run = hs.fit(target, str(saved(tmp_path / "tiny")), FineTune(epochs=1, batch_size=6, augment=""), helper={"more": dataset(4, 7)},
                 out=tmp_path / "run", baseline="none")  # fmt: skip
    assert set(run.result["helpers"]["weights"]) == {"more"} and "gain" not in run.result["helpers"]
    with pytest.raises(hs.HeadstartError, match="came from memory"):
        hs.rerun(tmp_path / "run")


def test_helpers_that_cannot_help_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny, data = str(saved(tmp_path / "tiny")), dataset(6, 1)
    texts = Dataset(["good", "bad"] * 6, [str(i) for i in range(12)], ["p", "n"] * 6, "text")
    with pytest.raises(ConfigError, match=r"\$.helper: .*masked, rotation. Did you mean 'rotation'\?.*NAME=PATH"):
        hs.fit(data, tiny, helper="rotatoin")
    with pytest.raises(ConfigError, match=r"\$.approach.helper: .*Did you mean 'masked'"):
        hs.fit(data, tiny, FineTune(helper="maskd"), out="a")
    with pytest.raises(Incompatible, match=r"probe has no such place.*--approach finetune"):
        hs.fit(data, tiny, "probe", helper="rotation")
    with pytest.raises(ConfigError, match="with a target"):
        hs.fit(data, tiny, helper="rotation", target=dataset(2))
    with pytest.raises(DataError, match="The helper 'mood': it holds texts and the target pictures"):
        hs.fit(data, tiny, helper={"mood": texts}, out="b")
    with pytest.raises(DataError, match="The helper 'more': it has no labels"):
        hs.fit(data, tiny, helper={"more": dataset(3).without_labels()}, out="c")
    with pytest.raises(DataError, match=r"The helper 'more': .*fewer than two classes"):
        hs.fit(data, tiny, helper={"more": dataset(6, 2, ("ring",))}, out="d")
    with pytest.raises(Incompatible, match=r"masked hides tokens of texts.*--helper rotation"):
        hs.fit(data, tiny, helper="masked", out="e")
    with pytest.raises(Incompatible, match=r"rotation turns pictures.*--helper masked"):
        Rotation().begin(tiny_models.CELLS["transformers-bert"].backbone(tmp_path / "bert"), 8, (), 0)
    with pytest.raises(ConfigError, match="a share of more than 0"):
        Masked(0.0).begin(backbone(), 8, (), 0)
    with pytest.raises(ConfigError, match="is the name of a question"):
        hs.fit(data, tiny, helper=["rotation=b.csv"])
    assert list(listed("rotation,masked:0.2")) == ["rotation", "masked"]
