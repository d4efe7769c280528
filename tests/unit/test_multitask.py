"""Several tasks on one model: labels that are missing, training, twins, bad input."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart as hs
from headstart import plugins
from headstart.approaches._several import Weigher
from headstart.approaches.finetune import FineTune
from headstart.approaches.probe import Probe
from headstart.balancing.fixed import Fixed
from headstart.balancing.pcgrad import PCGrad
from headstart.data.dataset import Dataset
from headstart.data.labels import joined
from headstart.data.split import Split
from headstart.errors import ConfigError, DataError
from headstart.evaluation import helped, interference
from headstart.models.backbone import Features
from headstart.predictor import load_predictor
from headstart.tasks import restore
from headstart.tasks._nesting import nestings
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run
from tiny import backbone, dataset, frozen_bytes

GIVEN = "shape=classification,round=classification,size=regression"


def labelled(part: Dataset, gaps: bool = False) -> Dataset:
    rng = np.random.default_rng(len(part))
    rows = []
    for place, label in enumerate(part.labels or ()):
        size = {"ring": 3.5, "bar": 1.25, "cross": 2.0}[label] + rng.normal() / 10
        rows.append(joined({"shape": label, "round": None if gaps and place % 3 == 1 else str(label == "ring"),
                            "size": None if gaps and place % 2 else f"{size:.3f}"}))  # fmt: skip
    return replace(part, labels=rows)


def split() -> Split:
    parts = (labelled(dataset(8, 1), gaps=True), labelled(dataset(5, 2)), labelled(dataset(5, 3)))
    return Split(*parts, task=f"multitask:{GIVEN}")


def task() -> MultiTask:
    return MultiTask.learn(split().train.labels or [], GIVEN)


def test_labels_are_encoded_with_gaps_and_the_task_is_restored() -> None:
    made, labels = task(), split().train.labels or []
    found = made.encode(labels)
    assert found.shape == (24, 3) and np.isnan(found[1::2, 2]).all() and np.isnan(found[1::3, 1]).all()
    assert not np.isnan(found[:, 0]).any() and restore(made.to_dict()) == made
    assert made.outputs == ("shape: bar", "shape: cross", "shape: ring", "round: False", "round: True", "size: value")
    assert len(set(made.strata(labels))) >= 3


def test_scores_are_those_of_the_single_tasks() -> None:
    made, labels = task(), split().test.labels or []
    rng = np.random.default_rng(0)
    said = made.probabilities(torch.from_numpy(rng.normal(size=(15, 6))))
    found = made.score(said, labels)
    columns = made.columns(labels)
    for (name, one), part in zip(made, made.parts(said).values(), strict=True):
        assert found["tasks"][name] == one.score(part, [str(value) for value in columns[name]])
    assert found["average"] == pytest.approx(np.mean([found["tasks"]["shape"]["accuracy"],
                                                      found["tasks"]["round"]["accuracy"], found["tasks"]["size"]["r2"]]))  # fmt: skip
    assert np.nanmean(made.merits(said, labels)) == pytest.approx(found["average"])


def test_a_probe_of_several_tasks_is_a_probe_of_each(tmp_path: Path) -> None:
    parts, made = split(), task()
    found = Probe().fit(backbone(), made, parts, Run())
    said = made.parts(found.probabilities(parts.test))
    for name, one in made:
        train, _ = made.samples(parts.train, [name])
        alone = Probe().fit(backbone(), one, replace(parts, train=train), Run())
        assert np.allclose(alone.probabilities(parts.test), said[name], atol=1e-5)
    loaded = load_predictor(found.save(tmp_path / "model"))
    assert np.array_equal(loaded.probabilities(parts.test), found.probabilities(parts.test)) and loaded.task == made
    first = loaded.predict(parts.test.subset([0]))[0]
    assert set(first.value) == {"shape", "round", "size"} and isinstance(first.value["size"], float)


@pytest.mark.parametrize("way", plugins.names("balancing"))
def test_every_way_of_balancing_trains_and_goes_on(way: str, tmp_path: Path) -> None:
    parts, made = split(), task()
    way = "fixed:1+0.5+1" if way == "fixed" else way
    settings = FineTune(epochs=2, batch_size=8, learning_rate=0.003, augment="", patience=0, balance=way)
    run = Run(tmp_path, seed=3, stage="finetune")
    found = settings.fit(backbone(), made, parts, run)
    assert np.isfinite(found.probabilities(parts.test)).all()
    cosines = interference.cosines(run.history, "finetune")
    assert set(cosines) == {"shape | round", "shape | size", "round | size"}
    assert all(abs(value) <= 1 + 1e-6 for pairs in cosines.values() for _, value in pairs)
    again = settings.fit(backbone(), made, parts, Run(tmp_path, seed=3, stage="finetune"))  # from its last checkpoint
    assert frozen_bytes(again.head) == frozen_bytes(found.head)


def test_a_helper_beside_several_tasks_is_told_apart_from_them() -> None:
    parts, made, run = split(), task(), Run(None, seed=3, stage="finetune")
    settings = FineTune(epochs=1, batch_size=8, learning_rate=0.003, augment="", balance="dwa", helper="rotation")
    settings.fit(backbone(), made, parts, run)
    assert set(interference.cosines(run.history, "finetune")) == {"shape | round", "shape | size", "round | size"}
    found = helped.told(run.history, "finetune")
    assert {what: set(rows) for what, rows in found.items()} == {key: {"rotation"} for key in helped.TOLD}


def test_fixed_weights_are_tuned_by_short_trainings() -> None:
    run = Run(None, seed=3, stage="finetune")
    FineTune(epochs=1, batch_size=8, learning_rate=0.003, augment="").fit(backbone(), task(), split(), run)
    said = next(row["note"] for row in run.history if "note" in row and "weights of the tasks" in row["note"])
    assert all(f"{text} 0." in said or f"{text} -" in said for text in ("1+1+1", "0.3+1+1", "1+0.3+1", "1+1+0.3"))


def weigher(way: PCGrad) -> tuple[Weigher, torch.nn.Linear, torch.nn.Module]:
    made = task()
    head = made.head(4)
    shared = torch.nn.Linear(6, 4)
    return Weigher(way, head, list(shared.parameters()), 4, "x"), shared, head


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_shared_gradient_is_the_projected_one_and_heads_keep_theirs(seed: int) -> None:
    torch.manual_seed(seed)
    weigh, shared, head = weigher(PCGrad())
    head.heads[1].linear.weight.data = -5 * head.heads[0].linear.weight.data[:2]  # so that they conflict
    inputs, labels = torch.randn(5, 6), torch.tensor([[0.0, 0, 3], [1, 1, 2], [0, 0, 1], [0, 0, 9], [1, 1, 0]])
    losses = head.losses(Features(shared(inputs)), labels)
    own = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(shared.parameters()), retain_graph=True)])
           for loss in losses.values()]  # fmt: skip
    plain = torch.autograd.grad(sum(losses.values()), list(head.parameters()))
    torch.manual_seed(1)
    wanted = torch.zeros_like(own[0])
    for i, gradient in enumerate(own):  # the algorithm of the paper, on vectors
        moved = gradient.clone()
        for j in torch.randperm(3).tolist():
            if j != i and (product := moved @ own[j]) < 0:
                moved -= product / (own[j] @ own[j]) * own[j]
        wanted += moved
    torch.manual_seed(1)
    sum(weigh.losses(head, Features(shared(inputs)), labels).values()).backward()
    found = torch.cat([parameter.grad.flatten() for parameter in shared.parameters()])
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5) and not torch.allclose(found, sum(own), rtol=1e-2)
    for parameter, slope in zip(head.parameters(), plain, strict=True):
        assert torch.allclose(parameter.grad, slope, atol=1e-5)


def test_a_way_that_needs_no_gradients_seldom_pays_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    weigh, shared, head = weigher(Fixed("1+1+1"))  # type: ignore[arg-type]
    seen, gram = [], weigh._gram
    monkeypatch.setattr(weigh, "_gram", lambda slopes: seen.append(len(slopes)) or gram(slopes))
    labels = torch.tensor([[0.0, 1, 1], [1, 0, 2]])
    for _ in range(8):
        losses = weigh.losses(head, Features(shared(torch.randn(2, 6))), labels)
        assert set(losses) == {"shape", "round", "size"}
    assert seen == [3, 3], "one step in four, in epochs as short as this"


def test_a_step_computes_each_gradient_once() -> None:
    weigh, shared, head = weigher(PCGrad())
    hidden, passes = shared(torch.randn(2, 6)), []
    hidden.register_hook(passes.append)
    losses = weigh.losses(head, Features(hidden), torch.tensor([[0.0, 1, 1], [1, 0, 2]]))
    sum(losses.values()).backward()
    assert len(passes) == 3 and all(parameter.grad is not None for parameter in [*shared.parameters(), *head.parameters()])


def test_a_loss_that_is_no_number_is_named_and_the_others_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.approaches import _several

    said: list[str] = []
    monkeypatch.setattr(_several, "say", said.append)
    weigh, shared, head = weigher(PCGrad())
    labels = torch.tensor([[0.0, 1, 1], [1, 0, 2]])
    with torch.no_grad():
        head.heads[2].linear.weight.fill_(float("nan"))
    found = weigh.losses(head, Features(shared(torch.randn(2, 6))), labels)
    assert set(found) == {"shape", "round"} and all(math.isfinite(loss.item()) for loss in found.values())
    assert "the loss of the task 'size' became nan" in said[0] and len(said) == 1
    weigh.losses(head, Features(shared(torch.randn(2, 6))), labels)
    assert len(said) == 1, "said once"


def test_a_batch_without_any_label_of_a_task() -> None:
    _, shared, head = weigher(PCGrad())
    labels = torch.tensor([[0.0, math.nan, math.nan], [1, math.nan, math.nan]])
    assert set(head.losses(Features(shared(torch.randn(2, 6))), labels)) == {"shape"}


def test_bad_input_is_named() -> None:
    labels = split().train.labels or []
    with pytest.raises(ConfigError, match="every name once"):
        MultiTask.learn(labels, "shape=classification,shape=regression")
    with pytest.raises(DataError, match="The task 'colour' has no label in the training part"):
        MultiTask.learn(labels, "shape=classification,colour=classification")
    with pytest.raises(DataError, match=r"The task 'shape': .*are no numbers: 'ring'"):
        MultiTask.learn(labels, "shape=regression,size=regression")
    with pytest.raises(DataError, match="The task 'round': The labels 'maybe' are none of"):
        task().encode([joined({"shape": "ring", "round": "maybe", "size": "1"})])
    with pytest.raises(DataError, match=r"no column 'size'.*--labels shape,round,size"):
        task().encode([joined({"shape": "ring", "round": "True"})])
    one = [joined({"shape": "ring", "size": "1"}), joined({"shape": "ring", "size": "2"})]
    with pytest.raises(DataError, match="The task 'shape' has the single class 'ring'"):
        MultiTask.learn(one, "shape=classification,size=regression")
    with pytest.raises(ConfigError, match="are not 3 positive numbers, one a task, such as fixed:1"):
        FineTune(epochs=1, balance="fixed:1+2").fit(backbone(), task(), split(), Run())


def test_delta_m_is_the_mean_relative_gain() -> None:
    rng = np.random.default_rng(0)
    alone = {"a": np.full(400, 0.5), "b": np.full(400, 0.8)}
    shared = {"a": 0.6 + rng.normal(size=400) / 10, "b": 0.72 + rng.normal(size=400) / 10}
    shared["b"][:200] = np.nan
    value, (low, high) = interference.delta_m(shared, alone)
    assert value == pytest.approx((0.2 - 0.1) / 2, abs=0.02) and low < value < high and high - low < 0.06
    copies = {name: np.repeat(rows, 10) for name, rows in shared.items()}, {n: np.repeat(r, 10) for n, r in alone.items()}
    owner = np.repeat(np.arange(400), 10).astype(str)
    _, (alone_low, alone_high) = interference.delta_m(*copies)
    _, (group_low, group_high) = interference.delta_m(*copies, groups=list(owner))
    assert alone_high - alone_low < 0.5 * (high - low) and group_high - group_low == pytest.approx(high - low, rel=0.15)


def test_nested_tasks_are_found_and_what_contradicts_them_is_counted() -> None:
    labels = split().test.labels or []
    made = MultiTask.learn(labels, GIVEN)
    (one,) = made.nested
    assert (one.inner, one.outer, one.parents) == ("shape", "round", (0, 0, 1))
    said = np.zeros((4, 6))
    said[[0, 1, 2, 3], [0, 1, 2, 2]] = said[[0, 1, 2, 3], [3, 4, 4, 3]] = 1  # bar no, cross yes, ring yes, ring no
    found = made.contradictions(made.parts(said))
    assert found == [{"inner": "shape", "outer": "round", "share": 0.5}] and restore(made.to_dict()) == made
    assert not task().nested, "no sample of a bar has both labels there"
    assert made.score(np.repeat(said[:1], 15, 0), labels)["contradictions"][0]["share"] == 0
    assert nestings({"a": ["1", "2", "3"], "b": ["x", "y", "y"]}, {"a": "123", "b": "xy"}) == (), "each seen once"
    crossed = {"a": list("123312"), "b": list("xyyyxx")}
    assert nestings(crossed, {"a": "123", "b": "xy"}) == () == nestings(crossed, {"b": "xy"})


def test_from_a_table_of_pictures_to_a_report_with_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from tiny import saved

    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    rows = ["path,split,shape,round"]
    for name, each, seed in (("train", 10, 1), ("val", 5, 2), ("test", 5, 3)):
        part = dataset(each, seed)
        for place, (item, label) in enumerate(zip(part.items, part.labels or (), strict=True)):
            Image.fromarray(np.asarray(item)).save(tmp_path / f"{name}{place}.png")
            known = "" if name == "train" and place % 4 == 0 else str(int(label == "ring"))
            rows.append(f"{name}{place}.png,{name},{label},{known}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    model = str(saved(tmp_path / "tiny"))
    run = hs.fit(tmp_path / "labels.csv", model, FineTune(epochs=1, batch_size=8, augment=""), out=tmp_path / "run",
                 labels="shape,round", task="classification")  # fmt: skip
    assert run.result["task"] == "multitask" and run.verdict is not None
    twins = run.result["interference"]
    assert set(twins["tasks"]) == {"shape", "round"} and twins["delta_m_interval"][0] <= twins["delta_m"]
    assert all(row["answer"] in ("helped", "no clear gain", "hurt") for row in twins["tasks"].values())
    (nested,) = twins["contradictions"]
    assert nested["inner"] == "shape" and 0 <= nested["share"] <= 1 and 0 <= nested["alone"] <= 1
    html = (tmp_path / "run" / "report.html").read_text()
    assert "lies outside the answer to" in html
    assert "&#34;shape&#34;" not in html and re.search(r"<dt>actual</dt><dd>[^{]{0,40}shape (ring|bar|cross)", html)
    assert "Each task" in html and "Do their gradients agree?" in html and "delta-m" in html
    assert json.loads((tmp_path / "run" / "result.json").read_text())["scores"]["tasks"]["round"]["accuracy"] >= 0
    again = hs.evaluate(tmp_path / "run", tmp_path / "labels.csv")
    assert set(again["tasks"]) == {"shape", "round"} and again["samples"] == 60
    assert any("have no label in the column 'round'" in note for note in run.result["data"]["notes"])
