from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.approaches.scratch import Scratch
from headstart.data.split import Split
from headstart.evaluation import baselines as module
from headstart.evaluation.baselines import baselines
from headstart.models.backbone import Backbone
from headstart.tasks import Task
from headstart.training.run import Run
from tiny import backbone, split, task


def scratch_that_trains(monkeypatch: pytest.MonkeyPatch, num_epochs: int, diverges: bool = False) -> None:
    """Scratch with a history of so many epochs, and no work at all."""

    def fit(self: Scratch, backbone: Backbone, task: Task, split: Split, run: Run) -> Any:
        for epoch in range(num_epochs + 1):
            run.record({"epoch": epoch, "train_loss": 1.0 if epoch else None})
        if diverges:
            run.record({"epoch": num_epochs + 1, "train_loss": None, "stopped": "diverged", "note": "NaN"})
        found = SimpleNamespace(probabilities=lambda test: np.full((len(test), 3), 1 / 3), task=task)
        found.tuned = lambda valid: found
        return found

    monkeypatch.setattr(Scratch, "fit", fit)
    monkeypatch.setattr(module, "raw_predictions", lambda task, split, seed: (np.full((len(split.test), 3), 1 / 3), task))


@pytest.mark.parametrize(
    ("done", "said"), [(40, "fresh weights, 40 epochs"), (17, "fresh weights, up to 40 epochs (stopped after 17)")]
)
def test_the_epochs_told_are_those_trained(monkeypatch: pytest.MonkeyPatch, done: int, said: str) -> None:
    scratch_that_trains(monkeypatch, done)
    run = Run(stage="finetune")
    run.record({"epoch": 99, "train_loss": 1.0})  # the candidate's own
    found = baselines(Scratch(epochs=40), backbone(), task(), split(), run)
    assert set(found) == {"scratch", "pixels"} and found["scratch"].what.endswith(said)


def test_a_baseline_that_was_hardly_trained_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    scratch_that_trains(monkeypatch, 0, diverges=True)
    run = Run()
    assert set(baselines(Scratch(epochs=40), backbone(), task(), split(), run)) == {"pixels"}
    assert any("left out of the verdict: its training failed after 0 of 40 epochs" in text for text in said)
    assert run.history[-1]["stage"] == "scratch" and "left out of the verdict" in run.history[-1]["note"]
