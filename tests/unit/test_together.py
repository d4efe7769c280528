"""Which tasks share a model: what short runs say, the groups, and a run of groups from the data to its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import headstart as hs
from headstart.approaches import _groups, train
from headstart.approaches.finetune import FineTune
from headstart.approaches.probe import Probe
from headstart.approaches.scratch import Scratch
from headstart.cli import app
from headstart.data.dataset import Dataset
from headstart.data.labels import joined
from headstart.data.split import Split
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.evaluation import baselines, together
from headstart.models.backbone import Backbone
from headstart.predictor import GroupedPredictor, Predictor, load_predictor
from headstart.tasks import Task, learn
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run, sow
from headstart.tuning import decayed
from tiny import NumberBackbone, backbone, dataset, frozen_bytes, saved

KINDS = "multitask:left=classification,right=classification,same=classification"


def one_number() -> NumberBackbone:
    """Two numbers in, one feature out: room for one question, not for two different ones."""
    network = nn.Linear(2, 1)
    network.weight.data = torch.tensor([[0.5, 0.4]])
    return NumberBackbone(network, 1)


@dataclass(frozen=True)
class Plain(Scratch):
    """Everything moves, from where it stands."""

    epochs: int = 12
    batch_size: int = 10
    augment: str = ""
    still_norms: bool = True

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        sow(run.seed, 2)
        own = one_number()
        head = task.head(1)
        train(own, head, task, split, run, groups=decayed([*own.parameters(), *head.parameters()], 0.1), settings=self)
        return Predictor(own.eval(), head.eval(), task, "table")


def rows(number: int, seed: int) -> Dataset:
    """``left`` asks for the sign of the one number, ``right`` for that of the other; ``same`` asks what ``left`` does."""
    values = np.random.default_rng(seed).normal(size=(number, 2))
    labels = [joined({"left": str(a > 0), "right": str(b > 0), "same": str(a > 0)}) for a, b in values]
    return Dataset([{"a": a, "b": b} for a, b in values], [f"{seed}/{i}" for i in range(number)], labels, "table")


def toy(*names: str) -> tuple[MultiTask, Split]:
    cut = Split(rows(120, 1), rows(100, 2), rows(100, 3), task=KINDS)
    task = learn(KINDS, cut.train.labels or [])
    assert isinstance(task, MultiTask)
    some = task.only(names)
    assert isinstance(some, MultiTask)
    return some, cut


def test_tasks_that_ask_the_same_stay_together_after_one_comparison() -> None:
    task, cut = toy("left", "same")
    found = together.proposed(Plain(), one_number(), task, cut, Run())
    assert found.groups == (("left", "same"),) and "none of them is hurt beyond noise" in found.why
    assert [row["answer"] for row in found.facts["trials"]] == ["no clear gain"] * 2 and found.facts["epochs"] == 3


def test_tasks_that_want_different_features_are_kept_apart() -> None:
    task, cut = toy("left", "right", "same")
    run = Run()
    found = together.proposed(Plain(), one_number(), task, cut, run)
    assert (
        found.groups == (("left", "same"), ("right",))
        and "right alone" in found.why
        and "all together hurt" in found.why
    )
    assert json.loads(json.dumps(found.facts)) == found.facts
    (hurt,) = (row for row in found.facts["trials"] if row["tasks"] == ["left", "right"] and row["task"] == "right")
    assert hurt["together"] < hurt["alone"] - 0.1 and hurt["interval"][1] < 0
    assert not run.history, "rows of short runs are none of the run"
    whole = Plain().fit(one_number(), task, cut, Run())
    apart = _groups.fit(Plain(), found.groups, one_number(), task, cut, Run(stage="plain"))
    scores = [task.score(model.probabilities(cut.test), cut.test.labels or [])["tasks"] for model in (whole, apart)]
    assert scores[1]["right"]["accuracy"] > scores[0]["right"]["accuracy"] + 0.1
    assert min(one["accuracy"] for one in scores[1].values()) > 0.93


def told(number: int, alone: float, **others: float) -> together.Table:
    """A table of tasks a, b, c, ...: each is right on a share ``alone`` of 400 samples, or what ``ab="0.8"`` says of pairs."""
    right = np.arange(400) / 400

    def short(names: Sequence[str]) -> together.Merits:
        asked.append("".join(names))
        return {name: (right < others.get("".join(names) + "_" + name, alone)).astype(float) for name in names}

    asked: list[str] = []
    table = together.Table("abcdefgh"[:number], short)
    table.asked = asked  # type: ignore[attr-defined]
    return table


def test_pairs_are_tried_only_where_a_task_is_hurt() -> None:
    table = told(4, 0.9)
    assert table.parted()[0] == (("a", "b", "c", "d"),) and table.asked == ["a", "b", "c", "d", "abcd"]  # type: ignore[attr-defined]
    table = told(3, 0.9, abc_c=0.7, ac_a=0.7, bc_b=0.92)
    groups, why = table.parted()
    assert groups == (("a", "b"), ("c",)) or groups == (("a",), ("b", "c"))
    assert groups == (("a",), ("b", "c")), "of the ways with as few groups, the one with the highest gain of pairs"
    assert (
        why.startswith("all together hurt c: c loses 20.0 points [")
        and "a loses 20.0 points" in why
        and "beside a and b" in why
    )


def test_a_difference_within_noise_keeps_tasks_together_and_one_that_pairs_do_not_explain_is_left_alone() -> None:
    assert told(2, 0.9, ab_a=0.89).parted()[0] == (("a", "b"),)
    assert told(2, 0.9, ab_a=0.8).parted()[0] == (("a",), ("b",))
    assert told(3, 0.9, abc_b=0.7).parted()[0] == (("a", "c"), ("b",)), "no pair hurts, and all three do"
    few = together.Table("ab", lambda names: {name: np.ones(6) * (len(names) == 1) for name in names})
    groups, why = few.parted()
    assert groups == (("a", "b"),) and "fewer than 10 validation samples" in why


def test_every_way_to_part_names() -> None:
    found = {frozenset(map(frozenset, groups)) for groups in together.partitions(tuple("abcd"), set())}
    assert len(found) == 15
    kept = list(together.partitions(tuple("abcd"), {("a", "b"), ("c", "d")}))
    assert min(map(len, kept)) == 2 and not any({"a", "b"} <= set(group) for groups in kept for group in groups)


def test_what_leaves_nothing_to_propose_is_refused() -> None:
    task, cut = toy("left", "right")
    with pytest.raises(ConfigError, match=r"\$.together: .* here is a single task \(classification\).*--labels A,B"):
        together.proposed(Plain(), one_number(), task.only(["left"]), cut, Run())
    with pytest.raises(Incompatible, match="Probe moves none"):
        together.check(Probe(), task, cut)
    with pytest.raises(ConfigError, match="fixed weights name every task"):
        together.check(FineTune(balance="fixed:1+1"), task, cut)
    with pytest.raises(DataError, match="there are none"):
        together.check(Plain(), task, replace(cut, valid=cut.train))
    blind = [joined({"left": None, "right": "True"}) for _ in cut.valid.items]
    with pytest.raises(DataError, match="none has a label of left"):
        together.check(Plain(), task, replace(cut, valid=replace(cut.valid, labels=blind)))
    names = [f"t{i}" for i in range(11)]
    with pytest.raises(ConfigError, match="at most 10 tasks, got 11"):
        together.check(Plain(), MultiTask(tuple(names), (task.tasks[0],) * 11), cut)
    with pytest.raises(ConfigError, match="a target is adapted to with one task"):
        hs.fit(dataset(4), "embedded:image", together="auto", target=dataset(2))
    with pytest.raises(ConfigError, match=r"\$.together: auto says which of several tasks"):
        hs.fit(dataset(6), "embedded:image", together="auto", out="never")
    assert not Path("never").exists(), "refused before any work"
    with pytest.raises(ConfigError, match=r"\$.together: expected one of all, auto, got 'some'"):
        hs.fit(dataset(6), "embedded:image", together="some")


def test_short_runs_are_judged_by_their_last_weights_not_by_their_common_start() -> None:
    part = dataset(8, 1)
    labels = [joined({"left": str(x == "ring"), "right": str(x == "bar")}) for x in part.labels or ()]
    whole = replace(part, labels=labels)
    task = learn("multitask:left=classification,right=classification", labels)
    approach = FineTune(epochs=2, batch_size=8, augment="", learning_rate=0.1, balance="uncertainty")  # far too fast
    own, cut = backbone(), Split(whole, replace(whole), whole)
    best, last = (approach.fit(own, task, cut, Run(last=last)) for last in (False, True))
    assert frozen_bytes(best.backbone) == frozen_bytes(own), "the start is the best, and all short runs would be alike"
    assert frozen_bytes(last.backbone) != frozen_bytes(own)


def test_a_task_without_validation_labels_chooses_on_training_samples_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    several, split = toy("left", "right")
    found = _groups.narrowed(split, several, ["left"])
    assert len(found.valid) == len(split.valid) and not caplog.text
    blind = replace(split.valid, labels=[joined({"left": None, "right": "True"}) for _ in split.valid.items])
    found = _groups.narrowed(replace(split, valid=blind), several, ["left"])
    assert found.valid is found.train
    assert "no validation sample is labelled for left; what has to be chosen is chosen on the training samples" in caplog.text


def test_a_budget_without_room_keeps_the_tasks_together() -> None:
    import time

    task, cut = toy("left", "right")
    found = together.proposed(Plain(), one_number(), task, cut, Run(deadline=time.monotonic() - 1))
    assert found.groups == (("left", "right"),) and "--budget gives more" in found.why and found.facts["trials"] == []


def shapes(folder: Path) -> Path:
    from PIL import Image

    lines = ["path,split,shape,round,size"]
    for name, each, seed in (("train", 10, 1), ("val", 5, 2), ("test", 5, 3)):
        part = dataset(each, seed)
        for place, (item, label) in enumerate(zip(part.items, part.labels or (), strict=True)):
            Image.fromarray(np.asarray(item)).save(folder / f"{name}{place}.png")
            size = {"ring": 3.5, "bar": 1.25, "cross": 2.1}[label] + place / 100
            lines.append(f"{name}{place}.png,{name},{label},{'' if place % 4 == 0 else int(label == 'ring')},{size}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


def test_from_the_command_line_to_a_run_of_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    for name in ("LEAST_EPOCHS", "LEAST_STEPS"):
        monkeypatch.setattr(baselines, name, 1)
    short = together.Table.effects

    def harmful(table: together.Table, names: tuple[str, ...]) -> dict:
        from headstart.evaluation.verdict import Gain

        short(table, names)
        table.gains[names] = {
            name: Gain(-0.2, (-0.3, -0.1)) if name == "size" else Gain(0.0, (-0.1, 0.1)) for name in names
        }
        return table.gains[names]

    monkeypatch.setattr(together.Table, "effects", harmful)
    data, out = str(shapes(tmp_path)), tmp_path / "run"
    found = CliRunner().invoke(app, ["fit", data, "--labels", "shape,round,size", "--task", "shape=classification,round=classification,size=regression",
                                     "--together", "auto", "--model", str(saved(tmp_path / "tiny")), "--set", "epochs=1", "--set", "batch_size=8",
                                     "--set", "augment=", "--approach", "finetune", "--out", str(out), "--json"])  # fmt: skip
    assert found.exit_code == 0, found.output
    result = json.loads((out / "result.json").read_text())
    assert result["together"]["groups"] == [["shape", "round"], ["size"]] and result["config"]["together"] == "auto"
    assert any(
        reason.startswith("trained together: shape + round; size alone; all together hurt size")
        for reason in result["reasons"]
    )
    assert set(result["interference"]["tasks"]) == {"shape", "round"}, "a task with a model of its own is its own twin"
    assert set(result["interference"]["cosines"]) == {"shape | round"} and "delta_m" in result["interference"]
    assert set(result["scores"]["tasks"]) == {"shape", "round", "size"} and result["verdict"]["answer"]
    stages = {row["stage"] for row in map(json.loads, (out / "history.jsonl").read_text().splitlines())}
    assert {
        "finetune shape+round",
        "finetune size",
        "scratch shape+round",
        "scratch size",
    } <= stages and "short run size" not in stages
    assert sorted(path.name for path in (out / "model").iterdir()) == ["group-1", "group-2", "task.json"]
    html = (out / "report.html").read_text()
    assert "Which are trained together?" in html and "Short runs of tasks together" in html and "size</bdi>" in html
    loaded = hs.load(out)
    assert isinstance(loaded, GroupedPredictor) and loaded.groups == (("shape", "round"), ("size",))
    said = loaded.predict([tmp_path / "test0.png"])[0]
    assert set(said.value) == {"shape", "round", "size"} and "size" in said.label
    again = hs.evaluate(out, data)
    assert set(again["tasks"]) == {"shape", "round", "size"}
    tested = hs.evaluate(out, {"shape": dataset(5, 3)})
    assert tested["tasks"]["shape"]["accuracy"] == result["scores"]["tasks"]["shape"]["accuracy"]
    repeated = hs.rerun(out, tmp_path / "again")
    assert (
        repeated.result["scores"] == result["scores"]
        and repeated.result["together"]["groups"] == result["together"]["groups"]
    )


def test_a_model_of_groups_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    groups, part = (("left",), ("right",)), dataset(8, 1)
    whole = replace(
        part, labels=[joined({"left": str(x == "ring"), "right": str(x == "bar")}) for x in part.labels or ()]
    )
    own = learn("multitask:left=classification,right=classification", whole.labels or [])
    model = _groups.fit(Probe(), groups, backbone(), own, Split(whole, whole, whole), Run())
    assert isinstance(model, GroupedPredictor) and model.tuned(whole).task == own and model.modality == "image"
    folder = model.save(tmp_path / "model")
    loaded = load_predictor(folder)
    assert np.array_equal(loaded.probabilities(whole), model.probabilities(whole)) and loaded.task == own
    facts = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps({**facts, "groups": [["left"], ["left"]]}))
    with pytest.raises(hs.HeadstartError, match="are not those of its tasks"):
        load_predictor(folder)
    (folder / "task.json").write_text(json.dumps(facts))
    (folder / "group-2" / "head.safetensors").unlink()
    with pytest.raises(hs.HeadstartError, match="There is no weights file"):
        load_predictor(folder)
