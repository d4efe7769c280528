import errno
import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import headstart as hs
from headstart import cli
from headstart.approaches.probe import Probe
from headstart.data.dataset import Dataset
from headstart.errors import DataError, ModelError, RunError, UnreadableError, UnsafeFile
from headstart.predictor import Predictor, load_predictor
from headstart.training.run import Run
from tiny import LABELS, PYTHON, backbone, dataset, environment, split, task


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Probe().fit(backbone(), task(), split(), Run())


FRESH = """
import socket, sys, json, numpy as np, torch
from pathlib import Path
torch.set_num_threads(1)
def refuse(*_): raise SystemExit("it reached for the network")
socket.socket.connect = refuse
from headstart.data.dataset import Dataset
from headstart.predictor import load_predictor
items = list(np.load(sys.argv[2]))
made = load_predictor(Path(sys.argv[1]))
found = made.probabilities(Dataset(items, [str(i) for i in range(len(items))], None, "image"))
np.save(sys.argv[3], found); print(json.dumps(made.task.to_dict()["classes"]))
"""


def test_a_fresh_process_gives_the_same_outputs(predictor: Predictor, tmp_path: Path) -> None:
    samples = dataset(5, seed=8)
    predictor.save(tmp_path / "model")
    np.save(tmp_path / "items.npy", np.stack(samples.items))
    command = [PYTHON, "-c", FRESH, *(str(tmp_path / name) for name in ("model", "items.npy", "out.npy"))]
    done = subprocess.run(command, env=environment(HF_HUB_OFFLINE="1"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == list(predictor.task.to_dict()["classes"])
    assert np.array_equal(np.load(tmp_path / "out.npy"), predictor.probabilities(samples))


def test_what_is_saved(predictor: Predictor, tmp_path: Path) -> None:
    folder = predictor.save(tmp_path / "model")
    assert {p.name for p in folder.iterdir()} == {"card.json", "model.safetensors", "head.safetensors", "task.json"}
    predictor.save(folder)  # once more, over what is there
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert load_predictor(folder).backbone.card.feature_dim == predictor.backbone.spec.dim


def test_predictions_are_named_and_ordered(predictor: Predictor, tmp_path: Path) -> None:
    samples = dataset(2, seed=8)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, item in zip(paths, samples.items, strict=True):
        Image.fromarray(item).save(path)
    found = predictor.predict([str(path) for path in paths])
    assert [p.name for p in found] == [str(path) for path in paths]
    table = predictor.probabilities(samples)
    for row, one in zip(table, found, strict=True):
        assert list(one.probabilities) == sorted(LABELS)
        assert list(one.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]
    assert predictor.predict([]) == []
    assert [p.label for p in predictor.predict(samples)] == [p.label for p in found]
    assert [p.label for p in predictor.predict([paths[2], samples.items[3]])] == [p.label for p in found[2:4]]


def test_files_that_are_not_there_or_no_pictures(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes a list"):
        predictor.predict("new.jpg")
    with pytest.raises(DataError, match=r"no file 'nowhere\.jpg' \(1 of 1"):
        predictor.predict(["nowhere.jpg"])
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableError, match=r"x\.jpg"):
        predictor.predict([tmp_path / "x.jpg"])


@pytest.mark.parametrize("name", ["task.json", "card.json", "model.safetensors", "head.safetensors"])
def test_a_missing_file_is_a_model_error(name: str, predictor: Predictor, tmp_path: Path) -> None:
    (predictor.save(tmp_path / "model") / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_predictor(tmp_path / "model")


@pytest.mark.parametrize("entry", ["kind", "classes", "head", "modality", "model"])
def test_a_missing_entry_is_a_model_error(entry: str, predictor: Predictor, tmp_path: Path) -> None:
    path = predictor.save(tmp_path / "model") / "task.json"
    facts = json.loads(path.read_text("utf-8"))
    del facts[entry]
    path.write_text(json.dumps(facts))
    with pytest.raises(ModelError, match=f"not a complete saved model.*{entry}"):
        load_predictor(tmp_path / "model")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"kind": "../../x"}', '{"kind": "_heads"}'])
def test_a_damaged_task_is_a_model_error(text: str, predictor: Predictor, tmp_path: Path) -> None:
    (predictor.save(tmp_path / "model") / "task.json").write_text(text)
    with pytest.raises(ModelError):
        load_predictor(tmp_path / "model")


def test_classes_and_head_must_agree(predictor: Predictor, tmp_path: Path) -> None:
    path = predictor.save(tmp_path / "model") / "task.json"
    facts = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**facts, "classes": facts["classes"][:2]}))
    with pytest.raises(ModelError, match=r"trained on the classes \['bar', 'cross', 'ring'\] in this order"):
        load_predictor(tmp_path / "model")
    head = tmp_path / "model" / "head.safetensors"
    save_file(load_file(head), head)  # as saved before the order travelled with the weights
    with pytest.raises(ModelError, match=r"3 outputs .* 2 classes"):
        load_predictor(tmp_path / "model")


@pytest.mark.parametrize("name", ["head.safetensors", "model.safetensors"])
def test_pickles_are_refused(name: str, predictor: Predictor, tmp_path: Path) -> None:
    folder = predictor.save(tmp_path / "model")
    (folder / name).write_bytes(pickle.dumps(print))
    with pytest.raises(UnsafeFile, match="pickle"):
        load_predictor(folder)
    torch.save({"linear.weight": torch.zeros(1)}, folder / name)
    with pytest.raises(UnsafeFile, match="pickle"):
        load_predictor(folder)


def test_a_full_disk_leaves_the_old_model(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = predictor.save(tmp_path / "model")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        predictor.save(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_no_samples(predictor: Predictor) -> None:
    assert predictor.probabilities(Dataset([], [], None, "image")).shape == (0, 3)


@pytest.mark.parametrize("several", [False, True])
def test_a_model_of_rows_takes_tables(several: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    rows = [{"age": float(age), "sex": "fm"[i % 2], "label": "old" if age > 50 else "young"} for i, age in enumerate(rng.uniform(20, 80, 60))]
    for name, part in (("train", rows), ("new", rows[:3]), ("bare", [{"age": row["age"]} for row in rows])):
        lines = [",".join(part[0]), *(",".join(map(str, row.values())) for row in part)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    run = hs.fit(tmp_path / "train.csv", approach="probe", out=tmp_path / "run", baseline="none")
    new = tmp_path / "new.csv"
    found = run.predictor.predict([str(new), new] if several else [str(new)])
    names = [f"row {i}" for i in (1, 2, 3)]
    assert [one.name for one in found] == ([f"{new} {name}" for name in names] * 2 if several else names)
    assert [one.label for one in found[:3]] == [row["label"] for row in rows[:3]]
    done = CliRunner().invoke(cli.app, ["predict", str(tmp_path / "run"), str(new), "--json"])
    assert [row["label"] for row in json.loads(done.stdout.splitlines()[-1])["predictions"]] == [one.label for one in found[:3]]
    with caplog.at_level("INFO"):
        run.predictor.predict([tmp_path / "bare.csv"])
    assert "1 of the 2 columns that the model learned from are lacking ('sex')" in caplog.text
    (tmp_path / "other.csv").write_text("height,label\n1.8,old\n1.7,young\n")
    with pytest.raises(DataError, match=r"none of the 2 columns that the model learned from \('age', 'sex'\)"):
        run.predictor.predict([tmp_path / "other.csv"])
    with pytest.raises(DataError, match="none of the 2 columns"):
        hs.evaluate(run, tmp_path / "other.csv")
