"""Anchored: a few labelled target samples correct the classifier of the source, which they have to earn.

Chelba, Acero: Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a Lot, EMNLP 2004: the penalty draws towards
the weights of the source instead of towards zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import GRADIENT, PENALTIES, STEPS, Linear, Pair, classifier, folds, scaling
from headstart.data.split import Split
from headstart.metrics.classification import log_loss
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.solvers.logistic import path
from headstart.tasks import Head, Task
from headstart.training.run import Run

FOLDS = 5


@dataclass(frozen=True)
class Anchored(Adaptation):
    """Args:
    penalty: lambda of: mean cross-entropy on the labelled target rows + lambda / 2 |weight - weight of the source|^2;
        0 chooses it by cross-validation on these rows, and keeps the classifier of the source where no lambda is better.
    """

    penalty: float = 0.0
    needs = frozenset({"vector"})
    uses_known: ClassVar[bool] = True

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        known, labels = pair.learnable()
        scaled = scaling(pair.source, together=pair.together)
        source, rows = scaled(pair.source), scaled(known)
        start = classifier(source, pair.labels, pair.num_classes, penalty=pair.penalty, seed=run.seed)
        penalty = self.penalty or _chosen(start, rows, labels, run.seed)
        if penalty is None:
            return start.after(scaled).head()
        weight, bias = next(_corrections(start, rows, labels, (penalty,)))
        return Linear(start.weight + weight, start.bias + bias, penalty).after(scaled).head()


def _corrections(
    start: Linear, rows: np.ndarray, labels: np.ndarray, penalties: tuple[float, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is added to the weights and biases of the source, for each penalty."""
    offset = start.logits(rows)
    return path(rows, labels, len(start.bias), penalties, offset=offset, gradient=GRADIENT, most=STEPS)


def _chosen(start: Linear, rows: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    """The penalty with the least log loss on labelled rows held out; None where the source's own classifier has less."""
    fold = folds(labels, seed, FOLDS)
    held_out = np.zeros((len(PENALTIES), len(labels), len(start.bias)))
    for number in np.unique(fold):
        inside, outside = fold != number, fold == number
        if not inside.any():
            return None
        for place, (weight, bias) in enumerate(_corrections(start, rows[inside], labels[inside], PENALTIES)):
            held_out[place, outside] = rows[outside] @ (start.weight + weight).T + start.bias + bias
    losses = [log_loss(logits, labels) for logits in held_out]
    best = int(np.argmin(losses))
    return PENALTIES[best] if losses[best] < log_loss(start.logits(rows), labels) else None
