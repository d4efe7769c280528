"""FineTune: the head first, then the backbone with it at layer-wise rates.

LP-FT (Kumar et al. 2022, arXiv 2202.10054): starting from a fitted head keeps the first gradients from
distorting the pretrained features. The start itself counts as epoch 0, so the result is never worse on
validation than the probe it began with.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

from headstart.approaches import Approach, check, train
from headstart.approaches.probe import Probe
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Task
from headstart.training.batches import Batches
from headstart.training.run import Run
from headstart.tuning import decayed
from headstart.tuning.full import Full
from headstart.tuning.last import Last


@dataclass(frozen=True)
class FineTune(Approach):
    """Args:
    epochs: passes over the training data at the most.
    learning_rate: of the last stage; earlier stages are slower, the head is twice as fast. 0: the usual one of
        such models (3e-4 for convolutions, 1e-4 for transformers).
    stages: how many of the last stages move; 0 means all.
    augment: comma-separated names that the modality knows (for pictures crop, flip, colour); "auto" are its usual
        ones (crop, flip), "" none.
    patience: epochs without improvement before stopping.
    average: decay of the moving average of weights; 0 for none.
    still_norms: batch norms keep the statistics of pretraining. Those of small batches from another domain
        differ so much that the head, fitted to the old ones, no longer fits (on digits the loss went from 0.3
        to 600).
    """

    epochs: int = 8
    learning_rate: float = 0.0
    batch_size: int = 32
    stages: int = 0
    augment: str = "auto"
    patience: int = 3
    average: float = 0.0
    still_norms: bool = True
    needs = frozenset({"vector", "gradients"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        check(self, backbone)
        start = Probe().fit(backbone, task, split, run)
        backbone, head = copy.deepcopy(backbone), start.head
        tuning = Last(self.stages) if self.stages else Full()
        rate = self.learning_rate or backbone.rate
        groups = tuning.groups(backbone, rate) + decayed(list(head.parameters()), 2 * rate)
        train(backbone, head, task, split, run, groups=groups, settings=self)
        return Predictor(backbone.eval(), head.eval(), task, split.train.modality)


def seconds_an_epoch(backbone: Backbone, task: Task, split: Split) -> float:
    """How long one pass would take, from two training steps on copies of a few samples."""
    network, labels = copy.deepcopy(backbone), task.encode(split.train.labels or [])
    head = task.head(backbone.spec.dim)
    few = split.train.subset(range(min(16, len(split.train))))
    batches, run = Batches(few, labels, network, len(few), ("auto",)), Run()
    network.train()
    seconds = 0.0
    for epoch in (0, 1):  # the first also pays for decoding and warming up
        begun = time.perf_counter()
        for batch in batches(epoch):
            with run.autocast:
                loss = sum(head.losses(network(batch.inputs), batch.labels).values())
            loss.backward()  # type: ignore[union-attr]
        seconds = time.perf_counter() - begun
    return seconds / len(few) * len(split.train)
