"""Scratch: the same architecture with fresh weights.

The baseline of the verdict, and the way to train a source model.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.approaches import Approach, check, fresh, train
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Task
from headstart.training.run import Run, sow
from headstart.tuning import decayed


@dataclass(frozen=True)
class Scratch(Approach):
    """Args:
    epochs: passes over the training data.
    learning_rate: of every parameter.
    label_smoothing: Szegedy et al. 2016, arXiv 1512.00567.
    augment: comma-separated names that the modality knows (for pictures crop, flip, colour); "auto" are its usual
        ones (crop, flip), "" none.
    patience: epochs without improvement before stopping; 0 never stops early.
    average: decay of the moving average of weights; 0 for none.
    still_norms: batch norms keep the statistics they begin with.
    """

    epochs: int = 20
    learning_rate: float = 2e-3
    batch_size: int = 32
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    augment: str = "auto"
    patience: int = 0
    average: float = 0.0
    still_norms: bool = False
    needs = frozenset({"vector", "gradients"})
    kinds = frozenset()

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        check(self, backbone)
        new = fresh(backbone, run.seed)
        sow(run.seed, 2)
        head = task.head(new.spec.dim)
        head.label_smoothing = self.label_smoothing  # type: ignore[assignment]
        groups = decayed([*new.parameters(), *head.parameters()], self.learning_rate, self.weight_decay)
        train(new, head, task, split, run, groups=groups, settings=self)
        return Predictor(new.eval(), head.eval(), task, split.train.modality)
