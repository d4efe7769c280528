import json
from pathlib import Path

import pytest

import headstart as hs
from headstart import fitting, models, runs
from headstart.approaches.distill import Distill
from headstart.errors import ConfigError, DataError, RunError, UnknownModel, UnreadableError
from tiny import dataset, saved


@pytest.mark.parametrize("query", ["", "?input_size=3,16,16"])
def test_every_reference_to_a_model_lasts(query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "teacher")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for approach in (Distill(teacher=f"teacher{query}"), {"name": "distill", "teacher": f"local:teacher{query}"}):
        settings = fitting.make_settings("data", f"teacher{query}", approach)
        wanted = f"local:{tmp_path / 'teacher'}{query}"
        assert settings.approach["teacher"] == settings.model == wanted
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert models.load(settings.approach["teacher"]).card.input_size == ((3, 16, 16) if query else (3, 32, 32))
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("teacher", ["", "timm:resnet18.a1_in1k", "embedded:image?input_size=3,32,32"])
def test_a_reference_without_a_path_stays(teacher: str) -> None:
    assert fitting.make_settings("data", "auto", Distill(teacher=teacher)).approach["teacher"] == teacher


def test_a_diverged_training_is_told_in_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("approaches.finetune", "training.optimiser"):  # such a rate is refused
        monkeypatch.setattr(f"headstart.{module}.LARGEST_RATE", 1e30)
    approach = hs.FineTune(epochs=2, learning_rate=1e20)
    record = hs.fit(dataset(6), str(saved(tmp_path / "model")), approach, baseline="none", out=tmp_path / "run")
    (told,) = (reason for reason in record.result["reasons"] if "the loss became" in reason)
    assert told.startswith("finetune: ") and "of epoch 0, are kept; lower the learning rate" in told
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["stopped"] == "diverged" and rows[-1]["note"] in told
    assert runs.read_result(tmp_path / "run")["reasons"] == record.result["reasons"]


def test_a_slip_is_told_before_the_data_are_scanned(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label in ("a", "b"):
        (photos / label).mkdir(parents=True)
        for number in range(3):
            (photos / label / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(UnknownModel, match="embedded:image"):
        hs.fit(photos, "embedded:imgae", out=tmp_path / "run")
    with pytest.raises(UnknownModel, match="embedded:image"):
        hs.layers(photos, "embedded:imgae")
    with pytest.raises(UnknownModel, match="embedded:image"):
        hs.augment(photos, model="embedded:imgae", out=tmp_path / "augment.html")
    with pytest.raises(DataError, match="no file or folder"):  # nor is a model loaded for data that are not there
        hs.fit(tmp_path / "photo", "embedded:imgae", out=tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    with pytest.raises(RunError, match="already holds a finished run"):
        hs.fit(photos, out=tmp_path / "run")
    with pytest.raises(UnreadableError):
        hs.fit(photos, out=tmp_path / "other")
    with pytest.raises(ConfigError, match=r"\$\.seed: expected 0 or more, got -1"):
        hs.fit(photos, seed=-1)
