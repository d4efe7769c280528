"""compare: statistics that can be checked by hand, cells that are kept, answers, and what is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import cli
from headstart.data import Dataset
from headstart.errors import ConfigError, DataError, Incompatible, ModelError
from headstart.evaluation import verdict
from headstart.report.pages import render_page
from headstart.report.plots import curves
from headstart.trials import compare as comparing
from headstart.trials import statistics
from headstart.trials.cells import Cell, Plan
from headstart.trials.statistics import Mean, crossing, gain, mean

QUICK = ("probe", "finetune:epochs=1", "scratch:epochs=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.saved(tmp_path_factory.mktemp("model")))


def test_the_mean_of_one_seed_has_the_binomial_error() -> None:
    row = np.array([1.0] * 60 + [0.0] * 40)
    found = mean([row])
    error = np.sqrt(0.6 * 0.4 / 100)
    assert found.value == 0.6 and found.low == pytest.approx(0.6 - 1.96 * error) and found.high > 0.69


def test_seeds_add_their_own_spread_and_never_shrink_the_samples() -> None:
    row = np.array([1.0] * 60 + [0.0] * 40)
    alike, apart = mean([row] * 3), mean([row, np.roll(row, 1) * 0, row * 0 + 1])
    assert alike.high - alike.low == pytest.approx(mean([row]).high - mean([row]).low)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_no_difference_is_not_certainty() -> None:
    found = mean([np.zeros(50)])
    assert found.low < 0 < found.high and not found.clear and found.p > 0.9
    assert found.high == pytest.approx(3 / 50)


def test_false_alarms_are_rare() -> None:
    """Two equal models, 3 seeds, 120 test samples: at most one comparison in 20 is clear."""
    rng = np.random.default_rng(0)
    clear = 0
    for _ in range(400):
        rows = [rng.choice([-1.0, 0.0, 1.0], 120, p=[0.1, 0.8, 0.1]) for _ in range(3)]
        clear += mean(rows).clear
    assert clear <= 20


def cell(right: list[int], approach: str = "probe", seed: int = 0, names: str = "a", valid: float = 0.5) -> Cell:
    return Cell(Plan(approach, "m", None, seed), tuple(right), names, valid, 10, 1.0)


def test_gains_are_paired_by_seed_and_test_samples() -> None:
    better = [cell([1, 1, 1, 0], "finetune", 0), cell([1, 1, 0, 0], "finetune", 1, "b")]
    than = [cell([1, 0, 1, 0], "probe", 0), cell([0, 0, 0, 0], "probe", 1, "other samples")]
    found = gain(better, than)
    assert found is not None and found.value == 0.25, "the second seed has other test samples and is left out"
    assert gain(better, [cell([1, 1, 1, 1], seed=7)]) is None


def of_groups(right: np.ndarray, groups: int, approach: str = "probe", seed: int = 0) -> Cell:
    numbers = tuple(int(number) for number in np.arange(len(right)) % groups)
    return replace(cell([int(entry) for entry in right], approach, seed), groups=numbers)


def test_of_one_seed_the_interval_spans_that_of_the_verdict_by_group() -> None:
    rng = np.random.default_rng(0)
    for groups in (3, 8, 30):
        one, other = rng.random((2, 120)) < 0.8
        found = gain([of_groups(one, groups, "finetune")], [of_groups(other, groups)])
        low, high = verdict.gain(one, other, groups=np.arange(120) % groups).interval
        assert found is not None and found.low <= low and found.high >= high
        if groups < verdict.LEAST_GROUPS:
            assert (found.low, found.high, found.p) == (-1, 1, 1)


def test_false_alarms_are_rare_where_samples_belong_to_groups() -> None:
    """Two equal models, 3 seeds, 20 test groups of 6 samples that go right or wrong together."""
    rng, clear, small = np.random.default_rng(0), 0, 0
    for _ in range(100):
        one, other = ([np.tile(rng.random(20) < 0.8, 6) for _ in range(3)] for _ in range(2))
        found = gain([of_groups(row, 20, "a", seed) for seed, row in enumerate(one)],
                     [of_groups(row, 20, "b", seed) for seed, row in enumerate(other)])  # fmt: skip
        assert found is not None
        clear, small = clear + found.clear, small + (found.p < 0.05)
    assert clear <= 5 and small <= 5


def test_an_accuracy_counts_groups_as_the_scores_of_a_run_do() -> None:
    right = np.tile(np.random.default_rng(0).random(20) < 0.7, 6)
    found, plain = (statistics.accuracy([one]) for one in (of_groups(right, 20), cell(right.astype(int).tolist())))
    low, high = verdict.by_group(right.astype(float), np.arange(120) % 20)
    assert found.high - found.low == pytest.approx(high - low, abs=0.01) and found.high - found.low > 2 * (plain.high - plain.low)
    few = statistics.accuracy([of_groups(right, 4)])
    assert (few.low, few.high) == (plain.low, plain.high), "as in a run, of these groups alone, and the notes say so"


def test_what_is_said_of_groups() -> None:
    right = np.ones(24, bool)
    many, few = [of_groups(right, 8), of_groups(right, 6, seed=1)], [of_groups(right, 4), of_groups(right, 9, seed=1)]
    assert comparing.about_groups([cell([1, 0])]) == ()
    assert comparing.about_groups(many) == ("the test samples are of 6 to 8 groups, by seed: intervals and differences count groups "
                                            "rather than samples",)  # fmt: skip
    assert "4 to 9 groups, by seed, too few (at least 6)" in comparing.about_groups(few)[0]


def test_notes_say_what_they_are_of() -> None:
    def noted(shots: int | None, seed: int, *notes: str) -> Cell:
        return Cell(Plan("probe", "m", shots, seed), (1,), notes=notes)

    said = comparing.noted([noted(5, 0, "everywhere", "small"), noted(5, 1, "everywhere", "small", "here"),
                            noted(None, 0, "everywhere"), noted(None, 1, "everywhere")])  # fmt: skip
    assert said == ("everywhere", "5 a class: small", "5 a class, seed 1: here")


def grouped(size: int, groups: int) -> Dataset:
    data = tiny.dataset(size)
    return replace(data, groups=[f"patient {i % groups}" for i in range(len(data))])


def test_cells_keep_groups_and_notes(model: str, tmp_path: Path) -> None:
    data = grouped(24, 36)
    found = hs.compare(data, ["probe"], [model], shots=[3], seeds=2, out=tmp_path)
    for path in (tmp_path / "cells").iterdir():
        facts = json.loads(path.read_text("utf-8"))
        assert len(facts["groups"]) == len(facts["right"]) and len(set(facts["groups"])) >= 6
        assert any("training was limited to 3 samples" in note for note in facts["notes"])
    assert any("count groups rather than samples" in note for note in found.notes)
    assert not any("too narrow" in note for note in found.notes)
    again = hs.compare(data, ["probe"], [model], shots=[3], seeds=2, out=tmp_path)
    assert again.curves == found.curves and again.notes == found.notes
    alone = hs.compare(replace(data, groups=None), ["probe"], [model], shots=[3], seeds=2, out=tmp_path)
    assert not any("groups" in note for note in alone.notes)


def test_it_is_said_where_there_is_no_validation_part(model: str, tmp_path: Path) -> None:
    data = tiny.dataset(2)  # of two samples one is learned from and one is for the test
    found = hs.compare(data, ["probe"], [model], shots=[None], seeds=1, out=tmp_path)
    note = "too few samples for a validation part; what has to be chosen is chosen on the training samples"
    assert note in found.notes and f"note: {note}" in str(found)
    assert note in (tmp_path / "comparison.html").read_text("utf-8")


def test_of_a_table_the_columns_are_learned_in_each_cell(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 3)), np.arange(60) % 2
    data = hs.read((rows + 3 * labels[:, None], np.where(labels, "sick", "well")))
    found = hs.compare(data, ["probe"], shots=[5, None], seeds=2, out=tmp_path)
    assert {row["model"] for row in found.curves} == {"tables:columns"} and not found.problems
    assert all(row["accuracy"] > 0.9 for row in found.curves)


def sure(value: float) -> Mean:
    return Mean(value, value - 0.01, value + 0.01, 0.0)


def test_where_fine_tuning_begins_to_win() -> None:
    found = crossing([5, 20, 80], [sure(-0.1), sure(0.05), sure(0.1)], "finetune", "probe")
    assert found.clear == 20 and found.about == pytest.approx(5 * 4 ** (2 / 3)) and "from 20 labels" in found.sentence
    assert crossing([5, 20], [sure(0.1), sure(0.2)], "a", "b").clear == 5
    never = crossing([5, 20], [sure(-0.1), sure(-0.02)], "a", "b")
    assert never.clear is None and never.about is None and "does not win" in never.sentence
    unsure = crossing([5, 20], [sure(-0.1), sure(0.005)], "a", "b")
    assert unsure.clear is None and "does not win clearly" in unsure.sentence
    lost_again = crossing([5, 20, 80], [sure(0.1), sure(-0.1), sure(0.1)], "a", "b")
    assert lost_again.clear == 80, "an early win that is lost again does not count"


def test_the_best_is_chosen_on_validation_not_on_the_test() -> None:
    by_key = {
        ("m", "probe", None): [cell([1, 0, 0, 0], "probe", valid=0.9)],
        ("m", "finetune", None): [cell([1, 1, 1, 1], "finetune", valid=0.5)],
        ("m", "scratch", None): [cell([0, 0, 0, 0], "scratch")],
    }
    said = comparing.worth(by_key, "m", ["probe", "finetune"], "scratch", tiny.dataset(4))
    assert "probe is +25.0 points" in said and "cannot be told" in said


def test_a_comparison_end_to_end_is_kept_and_resumed(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = tiny.dataset(12), tmp_path / "out"
    found = hs.compare(data, QUICK, [model], shots=[2, None], seeds=2, out=out)
    assert len(found.curves) == 6 and len(found.gains) == 6 and not found.problems
    assert {row["shots"] for row in found.curves} == {"2", "all"}
    assert all(0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1 for row in found.curves)
    assert any("How many labels" in answer for answer in found.answers)
    assert any("still worth it" in answer for answer in found.answers)
    assert json.loads((out / "comparison.json").read_text("utf-8"))["curves"] == list(found.curves)
    page = (out / "comparison.html").read_text("utf-8")
    assert page.count("<polyline") == 3 and "script" not in page
    assert "finetune:epochs=1" in str(found)

    cells = sorted((out / "cells").iterdir())
    assert len(cells) == 12
    cells[0].unlink()  # as after an interruption
    counted = []
    real = comparing.find
    monkeypatch.setattr(comparing, "find", lambda *given: counted.append(1) or real(*given))
    again = hs.compare(data, QUICK, [model], shots=[2, None], seeds=2, out=out)
    assert len(counted) == 1
    assert [row["accuracy"] for row in again.curves] == [row["accuracy"] for row in found.curves]
    changed = hs.compare(tiny.dataset(12, seed=5), ["probe"], [model], shots=[2], seeds=1, out=out)
    assert len(counted) == 2 and changed.curves[0]["seeds"] == 1, "other data, other cells"


def test_what_cannot_be_is_said(model: str, tmp_path: Path) -> None:
    data = tiny.dataset(8)
    found = hs.compare(data, ["probe", "distill"], [model], shots=[2], seeds=1, out=tmp_path / "a")
    assert [row["approach"] for row in found.curves] == ["probe"] and "distill" in found.problems[0]["what"]
    with pytest.raises(ModelError, match="Nothing could be computed"):
        hs.compare(data, ["probe"], ["timm:no_such_model"], shots=[2], seeds=1, out=tmp_path / "b")
    with pytest.raises(ModelError, match=r"'audio'.*'image'"):
        hs.compare(data, ["probe"], ["embedded:sound"], shots=[2], seeds=1, out=tmp_path / "c")
    with pytest.raises(ConfigError, match="nonsense"):
        hs.compare(data, ["nonsense"], [model])
    with pytest.raises(ConfigError, match="at least 1"):
        hs.compare(data, ["probe"], [model], shots=[0])
    with pytest.raises(ConfigError, match="at least one"):
        hs.compare(data, [], [model])
    with pytest.raises(DataError, match="labels"):
        hs.compare(data.without_labels(), ["probe"], [model])
    with pytest.raises(Incompatible, match="Comparing approaches is for classification"):
        hs.compare(replace(data, labels=[f"{i / 7}" for i in range(len(data))]), ["probe"], [model])


def test_the_verb(model: str, tmp_path: Path) -> None:
    for i, (item, label) in enumerate(zip(tiny.dataset(6).items, tiny.dataset(6).labels or (), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "data" / label / f"{i}.png")  # type: ignore[arg-type]
    words = ["compare", str(tmp_path / "data"), "--models", model, "--approaches", "probe", "--shots", "2,all"]
    done = CliRunner().invoke(cli.app, [*words, "--seeds", "1", "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.output.strip().splitlines()[-1])["curves"]) == 2
    done = CliRunner().invoke(cli.app, [*words[:-1], "many", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "5,20,all" in done.output


def test_the_plot_puts_more_labels_to_the_right_and_better_higher() -> None:
    rows = [{"approach": name, "labels": n, "accuracy": value, "low": value - 0.1, "high": value + 0.1}
            for name, n, value in (("probe", 5, 0.5), ("probe", 20, 0.7), ("finetune", 5, 0.4), ("finetune", 20, 0.9))]  # fmt: skip
    drawn = curves(rows, ["probe", "finetune"])
    probe, tuned = drawn["lines"]
    assert probe["points"][0][0] < probe["points"][1][0] and probe["points"][0][1] > probe["points"][1][1]
    assert tuned["points"][1][1] < probe["points"][1][1]
    at, up, low, high, _ = probe["points"][0]
    assert low > up > high and at > 0
    assert abs(probe["end"] - tuned["end"]) >= 15
    assert curves(rows[:1], ["probe"])["across"][0][1] == "5"


def test_accuracy_stays_between_0_and_1() -> None:
    found = statistics.accuracy([cell([1] * 30)])
    assert found.high == 1 and found.low < 1


@pytest.mark.parametrize(("clear", "said"), [(True, "yes"), (False, "no")])
def test_the_page_says_which_differences_are_clear(clear: bool, said: str) -> None:
    """``row.clear`` would be the method of a dict, and always true."""
    row = {"model": "m", "shots": "5", "approach": "probe", "over": "scratch", "gain": 0.1, "low": -0.1, "high": 0.3, "p": 0.5}
    page = render_page("comparison", {"origin": "x", "seeds": 1, "gains": [{**row, "clear": clear}]})
    assert f"<td>{said}</td>" in page
