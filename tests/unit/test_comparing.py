"""measure_shift and its verb: every kind of data, honest words, and what is dropped is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart as hs
from headstart import cli
from headstart.errors import ConfigError, DataError, RunError
from headstart.report import shift as report
from headstart.shift import _compared
from tiny import dataset, saved

NAMES = [f"f{i}" for i in range(6)]


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compared, "PERMUTATIONS", 60)


def table(
    path: Path, num: int, move: float, seed: int, *, label: bool = True, share: float = 0.5, names: list[str] = NAMES
) -> Path:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num, len(names)))
    rows[:, 0] += move
    kinds = np.where(rng.random(num) < share, "yes", "no")
    rows[:, 1] += 2 * (kinds == "yes")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *(["label"] if label else [])])
        writer.writerows([*map(str, row), *([kind] if label else [])] for row, kind in zip(rows, kinds, strict=True))
    return path


def test_a_shift_in_one_column_is_found_there(tmp_path: Path) -> None:
    source, target = table(tmp_path / "a.csv", 80, 0, 0), table(tmp_path / "b.csv", 60, 3, 1)
    found = hs.measure_shift(source, target)
    facts = found.facts
    assert facts["features"][0]["feature"] == "f0"
    assert facts["features"][0]["mean_difference"] == pytest.approx(3, abs=0.6)
    assert facts["num_shifted"] == 1 and facts["dim"] == 6
    assert facts["distances"]["p_value"] == pytest.approx(1 / 61)
    assert facts["distances"]["proxy_a_distance"] > 1.2
    assert "large" in report.TITLES[report.size(facts)][1]
    assert facts["effect"]["held_out"] and facts["effect"]["after"]["proxy_a_distance"] < 0.8
    assert "instead of" in found.summary and "not fitted on" in found.summary
    assert facts["classes"][0]["guessed"]
    assert any("labels of the target were dropped" in note for note in facts["notes"])
    assert any("6 of 12 features are the same in all samples" in note for note in facts["notes"])
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_without_a_shift_it_says_so(tmp_path: Path) -> None:
    source, target = table(tmp_path / "a.csv", 80, 0, 3), table(tmp_path / "b.csv", 60, 0, 13, label=False)
    found = hs.measure_shift(source, target)
    assert report.size(found.facts) == "none"
    assert "no larger than chance" in found.summary
    assert "b.csv was read without labels" in " ".join(found.facts["notes"])


def test_classes_by_true_labels_and_their_shares(tmp_path: Path) -> None:
    source, target = table(tmp_path / "a.csv", 200, 0, 0), table(tmp_path / "b.csv", 200, 0, 1, share=0.1)
    facts = hs.measure_shift(source, target, use_target_labels=True).facts
    rows = {row["label"]: row for row in facts["classes"]}
    assert not rows["yes"]["guessed"]
    assert rows["yes"]["target_share"] == pytest.approx(facts["target"]["classes"]["yes"] / 200)
    assert any(line.startswith("The target has other shares of the classes") for line in facts["summary"])


def test_classes_that_only_the_target_has_are_said(tmp_path: Path) -> None:
    source = table(tmp_path / "a.csv", 60, 0, 0)
    target = tmp_path / "b.csv"
    target.write_text(source.read_text().replace("no", "perhaps"))
    facts = hs.measure_shift(source, target, use_target_labels=True).facts
    assert any("classes that the source lacks (perhaps)" in note for note in facts["notes"])
    assert facts["copies"]["count"] == 60
    assert "copies or near-copies" in " ".join(facts["summary"])


def test_pictures_through_a_model_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(saved(tmp_path / "model"))
    source, target = dataset(10, 1), dataset(8, 2).without_labels()
    first = hs.measure_shift(source, target, model)
    monkeypatch.setattr(
        "headstart.models.pictures.PictureBackbone.forward", lambda *_: pytest.fail("not from the cache")
    )
    again = hs.measure_shift(source, target, model)
    assert {**first.facts, "seconds": 0} == {**again.facts, "seconds": 0}
    assert first.facts["modality"] == "image" and first.facts["features"][0]["feature"].startswith("feature ")


@pytest.mark.parametrize("method", ["linear_transport", "subspace", "tca"])
def test_the_map_of_other_methods(tmp_path: Path, method: str) -> None:
    source, target = table(tmp_path / "a.csv", 80, 0, 0), table(tmp_path / "b.csv", 60, 3, 1)
    facts = hs.measure_shift(source, target, method=method).facts
    assert facts["effect"]["method"] == method
    assert len(facts["map"]["moved_source"]) == len(facts["map"]["source"]) == 40
    assert np.isfinite(np.array(facts["map"]["moved_target"])).all()


def test_many_features_go_through_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compared, "WIDEST", 20)
    monkeypatch.setattr(_compared, "COMPONENTS", 5)
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(30)]
    found = _compared.compare(rng.normal(size=(40, 30)), rng.normal(size=(40, 30)), None, None, names, "coral", 0)
    assert any("the 5 leading principal components of the 30 features" in note for note in found.notes)


def test_bad_input_is_one_clear_error_each(tmp_path: Path) -> None:
    source, target = table(tmp_path / "a.csv", 30, 0, 0), table(tmp_path / "b.csv", 3, 0, 1)
    with pytest.raises(DataError, match=r"The target .*b\.csv has 3 rows.*at least 4"):
        hs.measure_shift(source, target)
    with pytest.raises(DataError, match=r"The target lacks 1 of the 6 columns of the source: f5"):
        hs.measure_shift(source, table(tmp_path / "c.csv", 30, 0, 1, names=NAMES[:5]))
    with pytest.raises(DataError, match="source holds rows and the target pictures"):
        hs.measure_shift(source, dataset(8))
    with pytest.raises(ConfigError, match="method is 'magic'; it can be coral"):
        hs.measure_shift(source, source, method="magic")
    with pytest.raises(ConfigError, match="no option 'label'"):
        hs.measure_shift(source, source, label="y")
    with pytest.raises(DataError, match="no labels to use"):
        hs.measure_shift(source, table(tmp_path / "d.csv", 30, 0, 1, label=False), use_target_labels=True)
    still = tmp_path / "e.csv"
    still.write_text("f0,label\n" + "1,a\n1,b\n" * 5)
    with pytest.raises((DataError, hs.HeadstartError), match=r"says anything about its rows"):
        hs.measure_shift(still, still)


def test_the_report_is_one_page_without_network(tmp_path: Path) -> None:
    source, target = table(tmp_path / "a.csv", 80, 0, 0), table(tmp_path / "b.csv", 60, 3, 1)
    found = hs.measure_shift(source, target)
    found.facts["classes"][0]["label"] = "<script>alert(1)</script>"
    page = found.write(tmp_path / "out.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<circle") == 40 * 2 + 1
    assert "A large shift" in page and "After CORAL" in page
    with pytest.raises(RunError, match="cannot be written"):
        found.write(tmp_path / "nowhere" / "out.html")


def test_maps_share_their_frame_where_the_target_stays() -> None:
    points = {"source": [[0, 0], [1, 1]], "target": [[2, 2]], "moved_source": [[9, 9]], "moved_target": [[2, 2]]}
    before, after = report.maps(points)
    assert before["target"] == after["target"]
    before, after = report.maps({**points, "moved_target": [[3, 3]]})
    assert before["target"] != after["target"]


@pytest.mark.parametrize(
    ("p_value", "distance", "expected"),
    [(0.4, 0.1, "none"), (0.01, 0.1, "small"), (0.4, 0.7, "moderate"), (0.01, 0.7, "moderate"), (0.01, 1.9, "large")],
)
def test_the_size_of_a_shift(p_value: float, distance: float, expected: str) -> None:
    assert report.size({"distances": {"p_value": p_value, "proxy_a_distance": distance}}) == expected


def test_told_apart_is_the_accuracy_behind_the_distance() -> None:
    assert [report.told_apart(d) for d in (0.0, 1.0, 2.0)] == [0.5, 0.75, 1.0]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(cli.app, ["shift", *words])


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "a.csv", 80, 0, 0)
    table(tmp_path / "b.csv", 60, 3, 1)
    done = invoke("a.csv", "b.csv")
    assert done.exit_code == 0, done.output
    assert "told apart" in done.output and "f0" in done.output and "report:  shift.html" in done.output
    assert (tmp_path / "shift.html").exists()
    done = invoke("a.csv", "b.csv", "--json", "--out", "other.html", "--target-labels")
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["report"] == "other.html" and said["features"][0]["feature"] == "f0" and "map" not in said
    done = invoke("a.csv", "nowhere.csv", "--json")
    assert done.exit_code == 2 and "nowhere.csv" in json.loads(done.stdout.splitlines()[-1])["error"]
