"""The bench: what all trials of a process share, and one trial on it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import defaults, plugins, probing
from headstart.approaches import Approach
from headstart.approaches.finetune import seconds_an_epoch
from headstart.approaches.probe import Probe
from headstart.data.split import Split
from headstart.errors import DataError
from headstart.features.extract import extract
from headstart.models.backbone import Backbone, Features
from headstart.performing import load_split, named_model
from headstart.runs import Settings, waited
from headstart.store import Store
from headstart.tasks import Head, Task, learn
from headstart.training.run import Run


@dataclass(frozen=True)
class Outcome:
    """What came of a trial on the validation samples.

    Attributes:
        value: of the metric of the task.
        score: what is maximised: the value less a small part of the loss, so that of two equal ones the surer wins.
        seconds: of adapting the model, its features being there.
        epochs: that were trained; 0 for a probe.
        cut: the time budget may have ended its training early.
    """

    value: float
    score: float
    seconds: float
    epochs: int
    cut: bool


@dataclass(frozen=True)
class Bench:
    """
    Attributes:
        split: its test side is empty: no trial can see it.
        features: of the training and the validation samples, (n, dim) each.
        twins: of the mirrored training samples, (n, dim); None where a probe does not learn them.
        epoch: seconds that one pass of full fine-tuning takes; 0 where it is not possible.
    """

    backbone: Backbone
    task: Task
    split: Split
    store: Store
    seed: int
    features: tuple[np.ndarray, np.ndarray]
    twins: np.ndarray | None
    epoch: float

    def carry_out(
        self, approach: Approach, name: str, deadline: float | None, watch: Callable[[dict[str, Any]], None]
    ) -> Outcome:
        """Fit the approach and judge it on validation.

        Args:
            watch: sees every row of the history as it comes, and may end the trial by an error of its own.
        """
        begun = time.perf_counter()
        if isinstance(approach, Probe):
            head = self._probed(approach)
            return self._judged(head, self.features[1], time.perf_counter() - begun)
        gc.collect()  # networks refer to themselves in circles; what the trial before left is gone before this one begins
        run = Run(None, self.seed, self.store, deadline, stage=name, watch=watch)
        predictor = approach.fit(self.backbone, self.task, self.split, run)
        seconds = time.perf_counter() - begun
        trained = (row["epoch"] for row in run.history if row["stage"] == name and row.get("train_loss") is not None)
        epochs = max(trained, default=0)
        cut = deadline is not None and time.monotonic() + seconds / max(1, epochs) > deadline
        # without the store: features of a network that is thrown away would only push out others
        vectors = extract(predictor.backbone, self.split.valid).vectors
        return self._judged(predictor.head, vectors, seconds, epochs, cut)

    def _probed(self, probe: Probe) -> Head:
        """The head that ``Probe.fit`` comes to, from features that are in memory already."""
        labels, groups = self.task.encode(self.split.train.labels or []), self.split.train.groups
        twins = None if probe.mirrored == "no" else self.twins
        return probing.fit(
            self.task, self.features[0], labels, head=probe.head, seed=self.seed, groups=groups, twins=twins
        ).head  # fmt: skip

    def _judged(self, head: Head, vectors: np.ndarray, seconds: float, epochs: int = 0, cut: bool = False) -> Outcome:
        labels, device = self.split.valid.labels or [], next(iter(head.state_dict().values())).device
        with torch.inference_mode():
            output = head.eval()(Features(torch.from_numpy(vectors).to(device))).float()
        probabilities = self.task.probabilities(output)
        task = self.task.tuned(probabilities, labels) if self.task.tunes else self.task
        value = task.score(probabilities, labels)[task.metric.name]
        if value is None:
            raise DataError(
                f"The {task.metric.title} cannot be told from {len(labels)} validation samples; more are needed."
            )
        loss = task.judged(output.cpu().numpy(), labels)["loss"]
        return Outcome(value, score(value, loss), seconds, epochs, cut)


def score(value: float, loss: float) -> float:
    """As the training loop compares epochs."""
    return value - 0.001 * min(loss, 10.0)


def bench_of(settings: Settings, data: Any, folder: Path) -> Bench:
    """Read the data, load the model, and compute or fetch the features: once for all trials of this process."""
    store, backbone = Store(), named_model(settings)
    split = load_split(settings, store, data)
    if backbone is None:
        backbone, _ = defaults.choose(split.train)
    defaults.suits(backbone, split.train)
    split = replace(split, test=split.test.subset([]))
    task = learn(split.task, split.train.labels or [])
    with waited(folder / ".features", "another process computes the features"):  # and this one then finds them
        train, valid = (extract(backbone, part, store).vectors for part in (split.train, split.valid))
        twins = Probe().twins(backbone, task, split.train, store)
    epoch = seconds_an_epoch(backbone, task, split) if "gradients" in backbone.provides else 0.0
    bench = Bench(backbone, task, split, store, settings.seed, (train, valid), twins, epoch)
    for name in plugins.names("solvers"):
        plugins.load("solvers", name)
    # What torch and scikit-learn load at first use is loaded now, and not within the time of the first trial.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0).zero_grad()
    bench._judged(task.head(backbone.spec.dim), valid, 0.0)
    return bench
