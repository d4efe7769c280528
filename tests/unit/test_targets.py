"""A run with a target: no label of it reaches a method, the verdict is about it, and the record can be repeated."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart import fitting, runs
from headstart.approaches import _aligned, selftrain
from headstart.approaches.coral import Coral
from headstart.approaches.dann import Dann
from headstart.approaches.selftrain import SelfTrain
from headstart.errors import ConfigError, DataError, HeadstartError, Incompatible
from headstart.verbs import show_record
from tiny import dataset, saved


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved(tmp_path_factory.mktemp("model") / "model"))


def folder(place: Path, data: hs.Dataset, *, labelled: bool = True) -> Path:
    for number, (item, label) in enumerate(zip(data.items, data.labels or (), strict=True)):
        path = place / (label if labelled else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(item)).save(path)
    return place


def test_with_labels_the_verdict_is_about_the_target(model: str, tmp_path: Path) -> None:
    source, target = dataset(10, 1), dataset(8, 4)
    run = hs.fit(source, model, Coral(), target=target, out=tmp_path / "run")
    assert run.verdict is not None and [c.baseline for c in run.verdict.comparisons] == ["source_only"]
    assert sum(sum(row) for row in run.scores["confusion"]) == len(target)
    assert run.result["data"]["target"]["samples"] == len(target)
    assert any("no method sees them" in note for note in run.result["data"]["notes"])


def test_no_label_of_the_target_is_looked_at(model: str, tmp_path: Path) -> None:
    """Wrong labels in the target change the verdict, and not one bit of the model."""
    source, target = dataset(10, 1), dataset(8, 4)
    wrong = replace(target, labels=[*target.labels[1:], target.labels[0]])  # type: ignore[index]
    models = []
    for number, given in enumerate((target, wrong, target.without_labels())):
        run = hs.fit(source, model, target=given, out=tmp_path / str(number))
        models.append((run.folder / "model" / "head.safetensors").read_bytes())
    assert models[0] == models[1] == models[2]


def test_without_labels_nothing_is_claimed(model: str, tmp_path: Path) -> None:
    run = hs.fit(dataset(10, 1), model, "coral", target=dataset(8, 4).without_labels(), out=tmp_path / "run")
    assert run.verdict is None
    assert any("nothing is claimed" in note for note in run.result["data"]["notes"])


def test_auto_says_why_it_kept_what(model: str, tmp_path: Path) -> None:
    run = hs.fit(dataset(10, 1), model, target=dataset(8, 4), out=tmp_path / "run")
    assert run.result["approach"] == "source_only"
    assert any(reason.startswith("source_only is kept") for reason in run.result["reasons"])
    names = [row["name"] for row in run.result["adaptation"]["candidates"]]
    assert names[0] == "source_only" and len(names) > 5


def test_a_run_of_folders_can_be_repeated(model: str, tmp_path: Path) -> None:
    source = folder(tmp_path / "source", dataset(10, 1))
    target = folder(tmp_path / "target", dataset(8, 4), labelled=False)
    first = hs.fit(source, model, "coral", target=target, baseline="none", out=tmp_path / "1")
    assert runs.read_settings(tmp_path / "1").target == str(target)
    second = hs.rerun(tmp_path / "1", tmp_path / "2")
    weights = [(run.folder / "model" / "head.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
    assert any("read without labels" in note for note in first.result["data"]["notes"])


def test_a_target_from_memory_cannot_be_repeated(model: str, tmp_path: Path) -> None:
    source = folder(tmp_path / "source", dataset(10, 1))
    hs.fit(source, model, "coral", target=dataset(8, 4), baseline="none", out=tmp_path / "1")
    with pytest.raises(HeadstartError, match="from memory"):
        hs.rerun(tmp_path / "1", tmp_path / "2")


def test_dann_on_inputs_is_compared_with_its_own_training_alone(model: str, tmp_path: Path) -> None:
    approach = Dann(on="inputs", epochs=1, batch_size=8, augment="")
    run = hs.fit(dataset(10, 1), model, approach, target=dataset(8, 4), out=tmp_path / "run")
    assert run.verdict is not None
    assert [c.baseline for c in run.verdict.comparisons] == ["source_only", "unaligned"]


@pytest.mark.parametrize("approach", [Dann(own_labels=0.5), SelfTrain(threshold=0.5)])
def test_guesses_about_plain_samples_are_learnt_for_augmented_ones(
    approach: Dann | SelfTrain, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[bool] = []
    plain = _aligned.own_labels

    def watched(target: _aligned.View, threshold: float) -> torch.Tensor:
        assert target.plain is None or not target.plain.requires_grad
        looked_at.append(target.plain is not None and not torch.equal(target.plain, target.logits))
        return plain(target, threshold)

    for place in (_aligned, selftrain):
        monkeypatch.setattr(place, "own_labels", watched)
    for augment in ("", "negative:1"):
        settings = replace(approach, on="inputs", epochs=1, batch_size=8, augment=augment)
        looked_at.clear()
        hs.fit(dataset(10, 1), model, settings, target=dataset(8, 4), baseline="none", out=tmp_path / f"run{augment[:3]}")
        assert looked_at and all(looked_at) == bool(augment), "without augmentation there is nothing else to look at"


def test_a_probability_above_1_is_refused(model: str, tmp_path: Path) -> None:
    for on in ("features", "inputs"):
        with pytest.raises(HeadstartError, match=r"own_labels: expected a probability"):
            hs.fit(dataset(10, 1), model, Dann(own_labels=1.5, on=on), target=dataset(8, 4), out=tmp_path / on)


def test_own_labels_without_a_weight_are_refused_and_the_rival_goes_without_both(model: str, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="weight is 0"):
        hs.fit(dataset(10, 1), model, Dann(own_labels=0.9, weight=0.0), target=dataset(8, 4), out=tmp_path / "0")
    approach = Dann(on="inputs", epochs=1, batch_size=8, augment="negative", own_labels=0.5)
    run = hs.fit(dataset(10, 1), model, approach, target=dataset(8, 4), out=tmp_path / "run")
    assert run.verdict is not None and run.verdict.comparisons[-1].baseline == "unaligned"


def test_copies_are_told_and_not_judged(model: str, tmp_path: Path) -> None:
    source, target = dataset(10, 1), dataset(8, 4)
    target = replace(target, items=[*source.items[:3], *target.items[3:]])
    run = hs.fit(source, model, "coral", target=target, out=tmp_path / "run")
    assert any(note.startswith("3 pictures of the target are") for note in run.result["data"]["notes"])
    assert sum(sum(row) for row in run.scores["confusion"]) == len(target) - 3


def test_classes_of_one_domain_only_are_told(model: str, tmp_path: Path) -> None:
    target = dataset(8, 4)
    target = replace(target, labels=["star" if label == "bar" else label for label in target.labels or ()])
    run = hs.fit(dataset(10, 1), model, "coral", target=target, out=tmp_path / "run")
    notes = " ".join(run.result["data"]["notes"])
    assert "8 target samples are of classes that the source lacks ('star')" in notes
    assert "classes of the source that the target lacks, by its labels: 'bar'" in notes
    assert sum(sum(row) for row in run.scores["confusion"]) == 16


def test_a_declared_test_part_is_kept_for_the_verdict(model: str, tmp_path: Path) -> None:
    target = dataset(8, 4)
    target = replace(target, declared=["train" if i < 12 else "test" for i in range(len(target))])
    run = hs.fit(dataset(10, 1), model, "coral", target=target, out=tmp_path / "run")
    assert run.result["data"]["target"]["samples"] == 12
    assert sum(sum(row) for row in run.scores["confusion"]) == 12


def test_what_cannot_work_is_refused(model: str, tmp_path: Path) -> None:
    source, target = dataset(10, 1), dataset(8, 4)
    with pytest.raises(DataError, match="has 1 sample"):
        hs.fit(source, model, target=target.subset([0]), out=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"\$.approach: probe takes no notice of a target. Adapting are adabn"):
        hs.fit(source, model, "probe", target=target, out=tmp_path / "b")
    with pytest.raises(DataError, match="no file or folder"):
        hs.fit(source, model, target=tmp_path / "nowhere", out=tmp_path / "c")
    with pytest.raises(DataError, match="one class"):
        hs.fit(source.subset(range(0, 30, 3)), model, target=target, out=tmp_path / "d")
    texts = hs.Dataset(["a b", "c d"] * 5, [str(i) for i in range(10)], None, "text")
    with pytest.raises(DataError, match="The target holds texts and the source pictures"):
        hs.fit(source, model, target=texts, out=tmp_path / "e")


def table(path: Path, seed: int, columns: dict[str, str], moved: float = 0.0) -> Path:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns.values())
        for number in range(60):
            values = {"age": rng.normal() + number % 2, "dose": rng.normal() + moved, "label": "yno"[number % 2]}
            rows.writerow([values.get(key, 7) for key in columns])
    return path


def test_columns_that_differ_are_told(tmp_path: Path) -> None:
    source = table(tmp_path / "a.csv", 0, {"age": "age", "dose": "dose", "label": "label"})
    target = table(tmp_path / "b.csv", 1, {"age": "age", "weight": "weight", "label": "label"})
    run = hs.fit(source, approach="coral", target=target, out=tmp_path / "run")
    notes = " ".join(run.result["data"]["notes"])
    assert (
        "the target lacks 1 of 2 columns ('dose')" in notes and "that the source lacks are not used: 'weight'" in notes
    )
    other = table(tmp_path / "c.csv", 1, {"x": "x", "z": "z"})
    with pytest.raises(DataError, match="none of the source's 2 columns"):
        hs.fit(source, approach="coral", target=other, out=tmp_path / "other")


def test_settings_know_the_target() -> None:
    assert fitting.make_settings("data", "auto", "auto").target is None
    assert fitting.make_settings("data", "auto", "auto", target="x").target == str(Path("x").resolve())
    assert fitting.make_settings("data", "auto", "auto", target=dataset(2)).target == runs.MEMORY


def partly(path: Path, seed: int, every: int) -> Path:
    """A table of which only one row in so many has a label."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["age", "dose", "label"])
        for number in range(80):
            label = number % 2
            rows.writerow([3 * label + rng.normal(), rng.normal(), "yn"[label] if number // 2 % every == 0 else ""])
    return path


def test_samples_without_a_label_are_adapted_to_as_well(tmp_path: Path) -> None:
    source = partly(tmp_path / "a.csv", 0, 1)
    run = hs.fit(source, approach="coral", target=partly(tmp_path / "b.csv", 1, 4), out=tmp_path / "run")
    notes = " ".join(run.result["data"]["notes"])
    assert "60 of 80 samples of the target have no label: they are adapted to as well" in notes
    assert "label" not in " ".join(note for note in run.result["data"]["notes"] if "columns" in note)
    assert run.result["data"]["target"]["samples"] == 80
    assert sum(sum(row) for row in run.scores["confusion"]) == 20


@pytest.mark.parametrize("approach", ["anchored", "tradaboost", "auto"])
def test_labels_are_learned_from_where_the_user_says_so(approach: str, tmp_path: Path) -> None:
    source, target = partly(tmp_path / "a.csv", 0, 1), partly(tmp_path / "b.csv", 1, 2)
    run = hs.fit(source, approach=approach, target=target, target_labels="learn", out=tmp_path / "run")
    notes = " ".join(run.result["data"]["notes"])
    assert "20 labelled target samples are learned from, as you asked, and never judged on" in notes
    assert sum(sum(row) for row in run.scores["confusion"]) == 20
    assert runs.read_settings(tmp_path / "run").target_labels == "learn"
    if approach == "auto":
        rows = run.result["adaptation"]["candidates"]
        assert [row["name"] for row in rows[:3]] == ["source_only", "anchored", "tradaboost"]
        assert "judged by its labelled samples" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_the_side_that_judges_is_not_learned_from(tmp_path: Path) -> None:
    """Its labels may be wrong throughout: the model is the same."""
    source = partly(tmp_path / "a.csv", 0, 1)
    target = hs.read(partly(tmp_path / "b.csv", 1, 1))
    declared = ["train" if i < 40 else "test" for i in range(80)]
    models = []
    for number in (0, 1):
        labels = [label if i < 40 or not number else "ny"["ny".index(label) - 1] for i, label in enumerate(target.labels or ())]
        given = replace(target, labels=labels, declared=declared)
        run = hs.fit(source, approach="anchored", target=given, target_labels="learn", out=tmp_path / str(number))
        models.append((run.folder / "model" / "head.safetensors").read_bytes())
    assert models[0] == models[1]


def test_few_labels_are_all_learned_from(tmp_path: Path) -> None:
    source, target = partly(tmp_path / "a.csv", 0, 1), partly(tmp_path / "b.csv", 1, 8)
    run = hs.fit(source, approach="anchored", target=target, target_labels="learn", out=tmp_path / "run")
    notes = " ".join(run.result["data"]["notes"])
    assert "10 labelled target samples are learned from" in notes and run.verdict is None
    assert "0 labelled target samples are too few for a verdict" in notes


def test_labels_that_nobody_could_use_are_refused(tmp_path: Path) -> None:
    source, target = partly(tmp_path / "a.csv", 0, 1), partly(tmp_path / "b.csv", 1, 2)
    with pytest.raises(ConfigError, match=r"coral makes no use of the target's labels.*anchored, tradaboost, and auto"):
        hs.fit(source, approach="coral", target=target, target_labels="learn", out=tmp_path / "a")
    with pytest.raises(Incompatible, match="--target-labels learn"):
        hs.fit(source, approach="anchored", target=target, out=tmp_path / "b")
    with pytest.raises(DataError, match="none of its samples has a label"):
        hs.fit(source, target=hs.read(target, labels=None), target_labels="learn", out=tmp_path / "c")


def test_json_says_why_there_is_no_verdict(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = hs.fit(dataset(10, 1), model, "coral", target=dataset(8, 4).without_labels(), out=tmp_path / "run")
    show_record(run, True)
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["verdict"] is None and "nothing is claimed" in shown["no_verdict"]
