"""Several data sets on one model: names, labels and splits of their own, sampling, what cannot be joined."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart as hs
from headstart import gathering
from headstart.approaches._several import drawn
from headstart.approaches.finetune import FineTune
from headstart.cli import app
from headstart.data.dataset import Dataset
from headstart.data.labels import columns
from headstart.errors import ConfigError, DataError
from headstart.performing import load_split
from headstart.runs import Settings, read_settings
from headstart.store import Store
from headstart.tasks import learn
from headstart.training.batches import Batches
from tiny import backbone, dataset, frozen_bytes, saved


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def shapes(per_class: int = 8, seed: int = 1) -> Dataset:
    return dataset(per_class, seed)


def sizes(number: int = 30, seed: int = 2) -> Dataset:
    part = dataset(number // 3, seed)
    rng = np.random.default_rng(seed)
    return replace(part, labels=[f"{value:.4f}" for value in rng.normal(size=len(part))])


def test_each_data_set_is_a_task_with_a_split_of_its_own() -> None:
    parts = {"shape": shapes(), "size": sizes()}
    cut = load_split(Settings(data=""), Store(), parts)
    assert cut.task == "multitask:shape=classification,size=regression"
    for side in (cut.train, cut.valid, cut.test):
        found = columns(side.labels or [])
        assert all((a is None) != (b is None) for a, b in zip(found["shape"], found["size"], strict=True))
        assert set(found["shape"]) - {None} == {"ring", "bar", "cross"} and any(found["size"])
    assert len(set(cut.train.names) | set(cut.valid.names) | set(cut.test.names)) == 54
    declared = replace(shapes(), declared=["test" if i < 6 else "train" for i in range(24)])
    cut = load_split(Settings(data=""), Store(), {"shape": declared, "size": sizes()})
    tested = [name for name in cut.test.names if name.startswith("shape")]
    assert tested == [f"shape: 1/{i}" for i in range(6)], "a split that a data set brings is kept"
    assert any(name.startswith("shape") for name in cut.valid.names)


def test_copies_in_two_data_sets_do_not_cross_sides() -> None:
    first = shapes(8, 1)
    second = replace(first, labels=[str(int(label == "ring")) for label in first.labels or ()])
    held = replace(first, declared=["test"] * 12 + ["train"] * 12)
    cut = load_split(Settings(data=""), Store(), {"shape": held, "round": second})
    number = {name.partition(": ")[2] for name in cut.test.names}
    assert not number & {name.partition(": ")[2] for name in (*cut.train.names, *cut.valid.names)}


def test_names_are_those_of_files_unless_given(tmp_path: Path) -> None:
    found = gathering.by_name([tmp_path / "films.csv", f"bank={tmp_path / 'x.csv'}", tmp_path / "flowers" / "labels.csv"])
    assert list(found) == ["films", "bank", "flowers"] and found["bank"] == str(tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="two tasks are called 'films'; name them: --data NAME=PATH"):
        gathering.by_name([tmp_path / "a" / "films.csv", tmp_path / "b" / "films.csv"])
    with pytest.raises(ConfigError, match="cannot be the name of a task"):
        gathering.by_name({"a,b": 1, "c": 2})
    with pytest.raises(ConfigError, match="there is one; give it without --data"):
        gathering.lasting(["a.csv"])


def test_what_cannot_share_a_model_is_refused_with_the_reason() -> None:
    texts = Dataset(["good", "bad"] * 6, [str(i) for i in range(12)], ["p", "n"] * 6, "text")
    with pytest.raises(DataError, match=r"pictures \(shape\) and texts \(mood\), and one model reads one kind"):
        load_split(Settings(data=""), Store(), {"shape": shapes(), "mood": texts})
    with pytest.raises(DataError, match="The data set 'size': it has no labels"):
        load_split(Settings(data=""), Store(), {"shape": shapes(), "size": sizes().without_labels()})
    with pytest.raises(ConfigError, match="there is no data set 'colour'; there are shape, size"):
        load_split(Settings(data="", task="colour=regression"), Store(), {"shape": shapes(), "size": sizes()})
    with pytest.raises(ConfigError, match="several data sets share a model without a target"):
        hs.fit([shapes(), sizes()], "embedded:image", target=shapes())


def test_a_small_data_set_is_drawn_as_often_as_a_large_one() -> None:
    large, small = sizes(60), shapes(2)
    cut = load_split(Settings(data=""), Store(), {"size": large, "shape": small})
    assert any("size has" in note and "without balancing shape would hardly count" in note for note in cut.notes + cut.train.notes)
    task = learn(cut.task, cut.train.labels or [])
    labels, head = task.encode(cut.train.labels or []), task.head(4)
    kinds = drawn("auto", labels, head, "x")
    assert kinds is not None and drawn("proportional", labels, head, "x") is None
    batches = Batches(cut.train, labels, backbone(), 8, kinds=kinds)
    places = np.concatenate(list(batches.chunks(1)))
    share = float(np.isfinite(labels[places, 1]).mean())
    assert share == pytest.approx(0.5, abs=0.1) and len(places) <= len(labels)
    even = labels[np.isfinite(labels).argmax(1).argsort()][-12:]
    assert drawn("auto", even, head, "x") is None, "only where sizes differ much"


def test_from_the_command_line_to_twins_and_back(tmp_path: Path) -> None:
    from PIL import Image

    for name, part in (("shape", shapes(9)), ("round", replace(shapes(7, 5)))):
        (tmp_path / name).mkdir()
        rows = ["path,label"]
        for i, (item, label) in enumerate(zip(part.items, part.labels or (), strict=True)):
            Image.fromarray(np.asarray(item)).save(tmp_path / name / f"{i}.png")
            rows.append(f"{i}.png,{label if name == 'shape' else 'yes' if label == 'ring' else 'no'}")
        (tmp_path / name / "labels.csv").write_text("\n".join(rows))
    model, out = str(saved(tmp_path / "tiny")), str(tmp_path / "run")
    found = CliRunner().invoke(app, ["fit", "--data", str(tmp_path / "shape" / "labels.csv"), "--data",
                                     f"circle={tmp_path / 'round' / 'labels.csv'}", "--model", model, "--approach", "finetune",
                                     "--set", "epochs=1", "--set", "batch_size=8", "--set", "augment=", "--set", "balance=fixed:1+1",
                                     "--out", out, "--json"])  # fmt: skip
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout.strip().splitlines()[-1])
    assert set(result["scores"]["tasks"]) == set(result["interference"]["tasks"]) == {"shape", "circle"}
    settings = read_settings(Path(out))
    assert settings.datasets == {"shape": str(tmp_path / "shape" / "labels.csv"), "circle": str(tmp_path / "round" / "labels.csv")}
    again = hs.evaluate(out, {"circle": tmp_path / "round" / "labels.csv"})
    assert set(again["tasks"]) == {"circle"} and again["samples"] == 21
    with pytest.raises(ConfigError, match="the model has no task 'colour'; it has shape, circle"):
        hs.evaluate(out, {"colour": tmp_path / "round" / "labels.csv"})
    assert CliRunner().invoke(app, ["fit"]).exit_code == 2


def test_a_run_of_several_can_be_repeated(tmp_path: Path) -> None:
    run = hs.fit({"shape": shapes(), "size": sizes()}, str(saved(tmp_path / "tiny")), FineTune(epochs=1, batch_size=8, augment="",
                 balance="fixed:1+1"), out=tmp_path / "run", baseline="none")  # fmt: skip
    assert set(run.predictor.predict(shapes().subset([0]))[0].value) == {"shape", "size"}
    with pytest.raises(hs.HeadstartError, match="came from memory"):
        hs.rerun(tmp_path / "run")


def test_a_run_of_several_files_is_repeated_from_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another folder, with names that TOML has to quote, in the order in which they were given."""
    from PIL import Image

    names = {"a shape": ("kind", shapes(9)), "éc.lat": ("label", sizes())}
    for place, (column, part) in enumerate(names.values()):
        folder = tmp_path / str(place)
        folder.mkdir()
        for i, item in enumerate(part.items):
            Image.fromarray(np.asarray(item)).save(folder / f"{i}.png")
        rows = [f"{i}.png,{label}" for i, label in enumerate(part.labels or ())]
        (folder / "labels.csv").write_text("\n".join([f"path,{column}", *rows]))
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--data", "éc.lat=1/labels.csv", "--data", "a shape=0/labels.csv", "--labels", "éc.lat=label,a shape=kind", "--model",
             str(saved(tmp_path / "tiny")), "--set", "epochs=1", "--set", "batch_size=8", "--set", "augment=", "--set", "adapters=3",
             "--set", "balance=fixed:1+1", "--approach", "finetune", "--baseline", "none"]  # fmt: skip
    found = CliRunner().invoke(app, [*words, "--out", "run"])
    assert found.exit_code == 0, found.output
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = CliRunner().invoke(app, ["rerun", str(tmp_path / "run"), "--out", "again"])
    assert found.exit_code == 0, found.output
    first, again = hs.load_record(tmp_path / "run"), hs.load_record("again")
    assert list(read_settings(Path("again")).datasets) == ["éc.lat", "a shape"] == list(again.scores["tasks"])
    assert again.scores == first.scores and again.result["data"] == first.result["data"]
    assert frozen_bytes(again.predictor.head) == frozen_bytes(first.predictor.head)
    assert "heads.0.adapter.down.weight" in frozen_bytes(again.predictor.head)
