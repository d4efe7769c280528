import json
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna", reason="the extra 'tune' is not installed")

import headstart as hs
import tiny
from headstart import search
from headstart.approaches.finetune import FineTune
from headstart.approaches.probe import Probe
from headstart.errors import ConfigError, RunError, UnknownModel
from headstart.report import search as report
from headstart.search import bench as benches
from headstart.search import space as spaces
from headstart.search import summary
from headstart.search.bench import Bench, Outcome, bench_of
from headstart.search.space import Space, space_of
from headstart.store import Store
from headstart.training import checkpoint
from headstart.training.run import Run


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch a trial; and what was timed on a busy machine decides nothing."""
    monkeypatch.setattr(spaces, "EPOCHS", (1,))
    monkeypatch.setattr(benches, "seconds_an_epoch", lambda *given: 0.01)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny.saved(tmp_path / "model"))


def made(model: str, tmp_path: Path, per_class: int = 12) -> Bench:
    settings = search.make_settings(tiny.dataset(per_class), model, "auto")
    return bench_of(settings, tiny.dataset(per_class), tmp_path)


def ignore(row: dict[str, Any]) -> None: ...


@pytest.mark.slow
def test_a_search_from_data_to_verdict(model: str, tmp_path: Path) -> None:
    found = hs.tune(tiny.dataset(12), model, trials=8, out=tmp_path / "run", baseline="none")
    rows = found.study["trials"]
    assert [row["approach"] for row in rows] == ["probe"] * 4 + ["finetune"] * 4
    assert {row["settings"]["head"] for row in rows[:4]} == {"knn", "logistic", "ridge", "svm"}
    assert rows[4]["settings"]["tuning"].startswith("full") and rows[4]["settings"]["augment"] == "crop,flip"
    assert len({json.dumps(row["settings"]) for row in rows}) == 8
    assert all(row["state"] in ("finished", "pruned") for row in rows)
    assert found.best["score"] == max(row["score"] for row in rows if row["state"] == "finished")
    # the winner was fitted anew, as ``fit`` does it, and came to the very same validation accuracy
    assert found.record.result["approach"] == found.best["approach"]
    assert found.record.result["validation"]["accuracy"] == found.best["value"]
    assert found.predictor is found.record.predictor
    names = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
    assert names - {"study.sqlite-wal", "study.sqlite-shm"} == {
        "tune.toml",
        "study.sqlite",
        "study.json",
        "report.html",
        "best",
    }
    assert hs.load(tmp_path / "run").predict(tiny.dataset(1)) == found.predictor.predict(tiny.dataset(1))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script" not in page and "best/report.html" in page and found.best["settings"]["name"] in page
    again = hs.tune(tiny.dataset(12), model, trials=8, out=tmp_path / "run", baseline="none")
    assert again.study == found.study, "finished; nothing is tried or tested again"
    with pytest.raises(RunError, match="seed is 0 there and 1 here"):
        hs.tune(tiny.dataset(12), model, out=tmp_path / "run", baseline="none", seed=1)


def test_numbers_are_searched_by_their_own_metric(model: str, tmp_path: Path) -> None:
    samples = tiny.dataset(10)
    heights = [f"{item.mean() / 10:.2f}" for item in samples.items]  # type: ignore[union-attr]
    found = hs.tune(replace(samples, labels=heights), model, trials=1, out=tmp_path / "run", baseline="none", task="regression")
    assert found.study["metric"]["name"] == "r2" and found.record.result["task"] == "regression"
    assert found.record.result["validation"]["r2"] == found.best["value"] < found.best["score"] + 0.02
    assert "on the test samples" in (tmp_path / "run" / "report.html").read_text()


def test_trials_cannot_see_the_test_samples(model: str, tmp_path: Path) -> None:
    bench = made(model, tmp_path)
    assert len(bench.split.test) == 0 and len(bench.split.train) and len(bench.split.valid)


@pytest.mark.parametrize("head", ["knn", "logistic", "ridge", "svm"])
def test_a_probe_on_the_bench_is_the_probe(head: str, model: str, tmp_path: Path) -> None:
    bench = made(model, tmp_path)
    predictor = Probe(head=head).fit(bench.backbone, bench.task, bench.split, Run(store=Store()))
    expected = predictor.probabilities(bench.split.valid, Store())
    for name, value in predictor.head.state_dict().items():
        assert np.array_equal(bench._probed(Probe(head=head)).state_dict()[name], value), name
    found = bench.carry_out(Probe(head=head), "trial 0", None, ignore)
    assert found.value == bench.task.score(expected, bench.split.valid.labels or [])["accuracy"]
    assert found.value - 0.01 <= found.score <= found.value and not found.cut


def test_a_fine_tuning_on_the_bench_leaves_the_backbone_alone(model: str, tmp_path: Path) -> None:
    bench, rows = made(model, tmp_path), []
    before = tiny.frozen_bytes(bench.backbone)
    approach = FineTune(epochs=2, learning_rate=1e-3, augment="")
    found = bench.carry_out(approach, "trial 3", None, rows.append)
    assert tiny.frozen_bytes(bench.backbone) == before
    assert found.epochs == 2 and [row["epoch"] for row in rows if "valid_accuracy" in row] == [0, 1, 2]
    run = Run(seed=0, store=Store()).named("trial 3")
    predictor = approach.fit(bench.backbone, bench.task, bench.split, run)
    actual = bench.task.encode(bench.split.valid.labels or [])
    assert found.value == (predictor.probabilities(bench.split.valid).argmax(1) == actual).mean()


def test_a_time_that_is_over_cuts_the_training_and_is_noted(model: str, tmp_path: Path) -> None:
    found = made(model, tmp_path).carry_out(FineTune(epochs=5), "trial 0", 0.0, ignore)
    assert found.cut and found.epochs == 1


@pytest.mark.slow
def test_no_memory_is_kept_from_trial_to_trial(model: str, tmp_path: Path) -> None:
    import gc

    import torch

    def held() -> tuple[int, int]:
        gc.collect()
        tensors = [entry for entry in gc.get_objects() if issubclass(type(entry), torch.Tensor)]
        networks = sum(issubclass(type(entry), torch.nn.Module) for entry in gc.get_objects())
        return sum(tensor.numel() for tensor in tensors), networks

    bench = made(model, tmp_path, per_class=6)
    approach = FineTune(epochs=1, augment="", patience=0)
    before: tuple[int, int] = (0, 0)
    for number in range(22):
        bench.carry_out(approach if number % 2 else Probe(head="ridge"), f"trial {number}", None, ignore)
        if number == 1:
            before = held()
    assert held() == before, "numbers in tensors, and networks, after 2 and after 22 trials"


def test_the_space_of_a_model() -> None:
    backbone = tiny.backbone()
    found = space_of(backbone, tiny.task(), "image", epoch=1.0, budget=None)
    assert set(found.tunings) >= {"full", "last:1", "last:2", "norms", "gradual"}
    assert found.augments[:2] == ("crop,flip", "") and any("colour" in recipe for recipe in found.augments)
    assert [approach for approach, _ in found.first()] == ["probe"] * 4 + ["finetune"]


def test_the_budget_decides_how_long_a_trial_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "EPOCHS", (2, 4, 8))
    backbone = tiny.backbone()
    assert space_of(backbone, tiny.task(), "image", 10.0, None).epochs == (2, 4, 8)
    assert space_of(backbone, tiny.task(), "image", 10.0, 130.0).epochs == (2, 4)
    assert space_of(backbone, tiny.task(), "image", 10.0, 30.0).epochs == (1,)
    assert space_of(backbone, tiny.task(), "image", 10.0, 5.0).tunings == ()
    monkeypatch.setattr(backbone, "provides", frozenset({"vector"}))
    assert space_of(backbone, tiny.task(), "image", 1.0, None) == Space(("logistic", "knn", "ridge", "svm"))


def test_there_are_no_more_trials_than_there_are_probes_where_nothing_else_is_possible() -> None:
    assert [approach for approach, _ in search.slots(Space(("knn", "svm")), 30)] == ["probe", "probe"]
    assert len(list(search.slots(Space(("knn",), 1e-3, ("full",), ("",), (1,)), 30))) == 30


def test_weight_decay_goes_where_there_is_one() -> None:
    import optuna

    space = Space(("knn",), 1e-3, ("norms", "last:2"), ("",), (2,))
    fixed = {"learning_rate": 0.0012345, "augment": "", "epochs": 2}
    norms = optuna.trial.FixedTrial({**fixed, "tuning": "norms"})
    assert space.drawn("finetune", norms) == {
        "name": "finetune",
        "learning_rate": 0.00123,
        "tuning": "norms",
        "augment": "",
        "epochs": 2,
    }  # type: ignore[arg-type]
    last = optuna.trial.FixedTrial({**fixed, "tuning": "last:2", "weight_decay": 0.0456})
    assert space.drawn("finetune", last)["tuning"] == "last:2:weight_decay=0.046"  # type: ignore[arg-type]


def row(trial: int, accuracy: float | None, seconds: float, state: str = "finished", **more: Any) -> dict[str, Any]:
    return {"trial": trial, "state": state, "approach": "finetune", "settings": {"name": "finetune", "epochs": 2},
            "drawn": {}, "score": accuracy, "value": accuracy, "seconds": seconds, "epochs": 2, "cut": False, "error": "",
            "killed": 0, "process": "1 on x", **more}  # fmt: skip


def test_the_front_has_what_no_other_trial_beats() -> None:
    rows = [
        row(0, 0.8, 10),
        row(1, 0.7, 1),
        row(2, 0.7, 2),
        row(3, 0.9, 50),
        row(4, 0.85, 60),
        row(5, 0.99, 5, "pruned"),
    ]
    assert summary.front(rows) == [1, 0, 3]


def test_the_report_shows_every_state_and_escapes(tmp_path: Path) -> None:
    rows = [row(0, 0.8, 10), row(1, 0.7, 1, approach="probe", settings={"name": "probe", "head": "<b>"}),
            row(2, None, 2, "pruned"), row(3, None, 3, "failed", error="<i>no</i>"), row(4, 0.9, 70, cut=True, killed=1),
            {**row(5, None, 0, "waiting"), "settings": {}, "seconds": None}]  # fmt: skip
    study = {"headstart": "0", "search": {"run": {"data": "x", "model": "auto"}, "trials": 6}, "best": 4,
             "metric": {"name": "accuracy", "title": "accuracy", "gain": "points"}, "trials": rows,
             "front": summary.front(rows), "importance": {"tuning": 0.7, "learning_rate": 0.3},
             "values": {"tuning": [{"value": "full", "trials": 2, "best": 0.9, "median": 0.8, "seconds": 3.0}]}}  # fmt: skip
    (tmp_path / "study.json").write_text(json.dumps(study))
    page = report.write(tmp_path).read_text()
    for words in ("stopped early", "not begun", "the time was over", "begun again after a kill", "&lt;i&gt;no&lt;/i&gt;",
                  "head=&lt;b&gt;", "learning rate", "70%", "90.0% accuracy on validation", "nothing was tested yet"):  # fmt: skip
        assert words in page, words
    assert not re.search(r"<(script|link|img)|https?://", page)
    with pytest.raises(RunError, match="headstart tune writes it"):
        report.write(tmp_path / "none")


def test_what_cannot_be_searched(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        hs.tune(tiny.dataset(4), model, trials=0, out=tmp_path / "a")
    with pytest.raises(ConfigError, match="password"):
        hs.tune(tiny.dataset(4), model, storage="postgresql://me:secret@host/name", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()
    with pytest.raises(UnknownModel):
        hs.tune(tiny.dataset(4), "embedded:imgae", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()  # where the corrected command will begin
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not the folder of a search"):
        hs.tune(tiny.dataset(4), model, out=tmp_path / "c")


def test_a_second_process_joins_a_search_that_is_just_being_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has made the folder, and its record stands there by another name only; the second waits for it."""
    folder = tmp_path / "T"
    wanted = search.Search(search.make_settings("photos", "auto", "auto"), 4)
    others: list[Future[bool]] = []
    write = checkpoint.write_atomically

    def slowly(path: Path, content: bytes) -> None:
        if not others:
            (folder / f".{path.name}.1.part").write_bytes(content[:9])
            others.append(pool.submit(search._claim, wanted, folder))
            wait(others, timeout=0.5)
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_atomically", slowly)
    with ThreadPoolExecutor() as pool:
        assert search._claim(wanted, folder) is True
    assert others[0].result() is False and search.read(folder) == wanted


def test_where_every_trial_fails_the_reason_is_given(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> Outcome:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(Bench, "carry_out", broken)
    with pytest.raises(RunError, match="trial 0: RuntimeError: the moon is full"):
        hs.tune(tiny.dataset(6), model, trials=2, out=tmp_path / "run", baseline="none")
    rows = json.loads((tmp_path / "run" / "study.json").read_text())["trials"]
    assert [entry["state"] for entry in rows] == ["failed", "failed"]


def test_an_interrupt_keeps_the_trials_and_the_search_goes_on(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Bench.carry_out, []

    def interrupted(self: Bench, *given: Any) -> Outcome:
        calls.append(given[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, *given)

    monkeypatch.setattr(Bench, "carry_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hs.tune(tiny.dataset(6), model, trials=4, out=tmp_path / "run", baseline="none")
    rows = json.loads((tmp_path / "run" / "study.json").read_text())["trials"]
    assert [entry["state"] for entry in rows] == ["finished", "finished", "waiting", "waiting"]
    assert not (tmp_path / "run" / "best").exists()
    found = hs.tune(tiny.dataset(6), model, trials=4, out=tmp_path / "run", baseline="none")
    assert calls == ["trial 0", "trial 1", "trial 2", "trial 3", "trial 2"], (
        "the interrupted one again, behind the others"
    )
    assert {entry["state"] for entry in found.study["trials"]} == {"finished"}


def test_importing_the_verb_loads_no_optuna() -> None:
    code = "import sys, headstart.cli, headstart.search; print('optuna' in sys.modules or 'sqlalchemy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=tiny.environment()
    )
    assert done.stdout.strip() == "False"


class Trial:
    """One that Optuna would stop at every turn."""

    def __init__(self, slot: int) -> None:
        self.user_attrs: dict[str, Any] = {"slot": slot, "approach": "finetune"}
        self.reports: list[int] = []

    def set_user_attr(self, name: str, value: Any) -> None:
        self.user_attrs[name] = value

    def report(self, _value: float, step: int) -> None:
        self.reports.append(step)

    def should_prune(self) -> bool:
        return True


@pytest.mark.parametrize(("slot", "epochs", "trained"), [(0, 4, 4), (1, 4, 1), (1, 2, 1), (1, 1, 1)])
def test_trials_are_stopped_by_their_share_and_fine_tuning_as_it_is_never(
    slot: int, epochs: int, trained: int, model: str, tmp_path: Path
) -> None:
    """What ``auto`` would do runs through, so that a search is not worse on validation; and nobody is stopped at the end."""
    from optuna import TrialPruned

    bench, trial = made(model, tmp_path), Trial(slot)
    study = SimpleNamespace(best=lambda: None)
    space = SimpleNamespace(first=lambda: iter([("finetune", {})]), drawn=lambda *_: {"name": "finetune", "epochs": epochs})
    if trained < epochs:
        with pytest.raises(TrialPruned):
            search._try(trial, study, space, bench, None)  # type: ignore[arg-type]
    else:
        search._try(trial, study, space, bench, None)  # type: ignore[arg-type]
    assert trial.reports == [round(8 * (i + 1) / epochs) for i in range(trained)] and trial.user_attrs["epochs"] == trained
