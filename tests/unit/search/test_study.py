import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="the extra 'tune' is not installed")
import optuna
import working

from headstart.errors import ConfigError, MissingExtra, RunError
from headstart.search import study as studies
from headstart.search.study import Study, opened
from tiny import environment

FREE = ("finetune", {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return opened(f"sqlite:///{tmp_path / 'study.sqlite'}", working.IDENTITY)


def states(study: Study) -> list[str]:
    return [row["state"] for row in study.rows()]


def drawn(trial: Any) -> float:
    return trial.suggest_float("x", 0.0, 1.0)


def test_slots_are_made_once_and_more_can_be_added(study: Study, tmp_path: Path) -> None:
    study.enqueue([("probe", {"head": "knn"}), FREE])
    study.enqueue([("probe", {"head": "knn"}), FREE, FREE])
    assert [(row["approach"], row["drawn"]) for row in study.rows()] == [("probe", {"head": "knn"}), FREE, FREE]
    study.run_next(0, lambda trial: float(trial.suggest_categorical("head", ("svm", "knn")) == "knn"))
    again = opened(f"sqlite:///{tmp_path / 'study.sqlite'}", working.IDENTITY)
    assert [row["score"] for row in again.rows()] == [1.0, None, None]
    assert again.best() == again.rows()[0]


@pytest.mark.slow
def test_of_two_processes_one_is_killed_and_every_trial_is_finished_once(study: Study, tmp_path: Path) -> None:
    study.enqueue([FREE] * 12)
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("working.py")), str(tmp_path), "1"]
    said = tmp_path / "said.txt"
    with said.open("ab") as file:
        first, second = (subprocess.Popen(command, env=environment(), stderr=file) for _ in range(2))
    deadline = time.monotonic() + 60
    begun = tmp_path / "begun.txt"
    while not (begun.exists() and f" {first.pid}\n" in begun.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()  # SIGKILL, in the middle of a trial
    assert second.wait(timeout=120) == 0, said.read_text()
    first.wait()
    rows = study.rows()
    assert [row["trial"] for row in rows] == list(range(12)) and states(study) == ["finished"] * 12
    ends = Counter(
        trial.user_attrs["slot"] for trial in study.study.trials if trial.state == optuna.trial.TrialState.COMPLETE
    )
    assert ends == Counter(range(12)), "every trial has one result"
    done = Counter((tmp_path / "done.txt").read_text().splitlines())
    assert sorted(int(line.split()[0]) for line in done.elements()) == list(range(12)), "none was worked through twice"
    lines = [line.split() for line in begun.read_text().splitlines()]
    [victim] = [row for row in rows if row["killed"]]
    assert victim["process"].startswith(f"{second.pid} ")
    values = [value for slot, value, _ in lines if slot == str(victim["trial"])]
    assert values == [str(victim["score"])] * 2, "the trial was begun again with the settings it had"
    assert len(lines) == 13


def test_of_two_trials_of_one_slot_the_later_gives_way(study: Study) -> None:
    study.enqueue([FREE])
    study.study.enqueue_trial(
        {}, user_attrs={"slot": 0, "approach": "finetune"}
    )  # as when two processes repair at once
    ran: list[int] = []

    def work(trial: Any) -> float:
        ran.append(trial.number)
        return drawn(trial)

    study.run_next(0, work)
    study.run_next(0, work)
    study.run_next(0, work)  # nothing waits, so this one has no slot
    assert ran == [0] and states(study) == ["finished"]


def test_an_interrupted_trial_goes_back(study: Study) -> None:
    study.enqueue([FREE, FREE])

    def interrupted(trial: Any) -> float:
        drawn(trial)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run_next(0, interrupted)
    assert states(study) == ["waiting", "waiting"] and study.rows()[0]["drawn"]
    for _ in range(2):
        study.run_next(0, drawn)
    assert states(study) == ["finished", "finished"]


def test_an_error_is_kept_and_not_repeated(study: Study) -> None:
    study.enqueue([FREE, FREE])

    def broken(trial: Any) -> float:
        raise ValueError("no such thing")

    study.run_next(0, broken)
    study.repair()
    assert states(study) == ["failed", "waiting"]
    assert study.rows()[0]["error"] == "ValueError: no such thing"
    assert study.best() is None


def test_a_trial_that_kills_its_process_is_given_up(study: Study) -> None:
    study.enqueue([FREE])

    def killed(trial: Any) -> float:
        study.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # as a stale one ends
        return 0.0

    for attempt in range(studies.ATTEMPTS):
        assert states(study) == ["waiting"]
        study.run_next(0, killed)
        study.repair()
        assert study.rows()[0]["killed"] == attempt + 1
    assert states(study) == ["failed"] and "killed 3 times" in study.rows()[0]["error"]


def test_what_was_given_up_for_dead_does_not_count_when_it_wakes(study: Study) -> None:
    study.enqueue([FREE])

    def asleep(trial: Any) -> float:
        study.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # another process repairs
        study.repair()
        return 0.9

    study.run_next(0, asleep)
    assert states(study) == ["waiting"]
    study.run_next(0, lambda trial: 0.3)
    assert states(study) == ["finished"] and study.rows()[0]["score"] == 0.3


def test_a_trial_worse_than_the_median_is_stopped(study: Study) -> None:
    study.enqueue([FREE] * 7)

    def work(trial: Any) -> float:
        value = drawn(trial) + (0 if trial.number == 6 else 10)
        for epoch in (1, 2, 3):
            trial.set_user_attr("epochs", epoch)
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    for _ in range(7):
        study.run_next(0, work)
    last = study.rows()[6]
    assert last["state"] == "pruned" and last["epochs"] == 2 and last["score"] < 1, "after its second epoch"
    assert study.best() != last


def test_one_process_draws_the_same_again_and_two_draw_differently(tmp_path: Path) -> None:
    values = []
    for name in "ab":
        study = opened(f"sqlite:///{tmp_path / name}.sqlite", working.IDENTITY)
        study.enqueue([FREE] * 3)
        for _ in range(3):
            study.run_next(0, drawn)
        values.append([row["score"] for row in study.rows()])
    assert values[0] == values[1] and len(set(values[0])) == 3
    study.enqueue([FREE] * 5)
    other = opened(f"sqlite:///{tmp_path / 'b'}.sqlite", working.IDENTITY)

    def during(trial: Any) -> float:  # another process asks while this one works
        other.run_next(0, drawn)
        return drawn(trial)

    study.run_next(0, during)
    assert states(study) == ["finished"] * 5 and len({row["score"] for row in study.rows()}) == 5


def test_importance_sees_what_mattered(study: Study) -> None:
    study.enqueue([FREE] * 12)

    def work(trial: Any) -> float:
        trial.suggest_float("learning_rate", 0.0, 1.0)
        return {"full": 0.9, "norms": 0.1}[trial.suggest_categorical("tuning", ("full", "norms"))]

    for number in range(12):
        if number == 4:
            assert study.importance(["learning_rate", "tuning"]) == {}, "too few to tell"
        study.run_next(0, work)
    found = study.importance(["learning_rate", "tuning", "weight_decay"])
    assert found["tuning"] > 0.9 > found["learning_rate"] and "weight_decay" not in found


def test_another_search_in_the_file_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="seed: 0 there, 1 here"):
        opened(f"sqlite:///{tmp_path / 'study.sqlite'}", {**working.IDENTITY, "seed": 1})


def test_a_database_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="SQLAlchemy URL such as"):
        opened(f"sqlite:///{tmp_path}/no/such/folder/x.sqlite", working.IDENTITY)
    with pytest.raises(ConfigError, match="SQLAlchemy URL such as"):
        opened("nonsense", working.IDENTITY)
    with pytest.raises(ConfigError, match=r"psycopg2|Please install|cannot be used"):
        opened("postgresql+psycopg2://user@127.0.0.1/none", working.IDENTITY)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"headstart\[tune\]"):
        opened("sqlite://", working.IDENTITY)
