"""Label shift: the classifier of the source, corrected for how often each class occurs in the target.

Lipton, Wang, Smola: Detecting and Correcting for Label Shift with Black Box Predictors, ICML 2018, arXiv 1802.03916
(BBSE); Saerens, Latinne, Decaestecker, Neural Computation 14(1), 2002 (MLLS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import softmax

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Linear, Pair, classifier, folds, scaling
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.run import Run

FOLDS = 4


@dataclass(frozen=True)
class LabelShift(Adaptation):
    """Args:
    method: "mlls": the balance under which the predictions are most likely; "bbse": from how often the classifier
        mistakes which class for which.
    """

    method: Literal["mlls", "bbse"] = "mlls"
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift.bbse import bbse_ratio
        from headstart.shift.mlls import calibration, mlls_balance

        scaled = scaling(pair.source)
        rows = scaled(pair.source)
        penalty = pair.penalty or classifier(rows, pair.labels, pair.num_classes, seed=run.seed).penalty
        fitted = classifier(rows, pair.labels, pair.num_classes, penalty=penalty)  # as timid as those of held-out rows
        held_out = _held_out(rows, pair, fitted.penalty, run.seed)
        target = fitted.logits(scaled(pair.target))
        shares = np.bincount(pair.labels, minlength=pair.num_classes) / len(pair.labels)
        if self.method == "bbse":
            ratio = bbse_ratio(softmax(held_out, axis=1), pair.labels, softmax(target, axis=1))
        else:
            temperature, bias = calibration(softmax(held_out, axis=1), pair.labels)
            fitted = Linear(fitted.weight / temperature, fitted.bias / temperature + bias, fitted.penalty)
            ratio = mlls_balance(softmax(target / temperature + bias, axis=1), shares) / np.maximum(shares, 1e-12)
        bias = fitted.bias + np.log(np.maximum(ratio, 1e-6))  # p_target(class | x) ~ ratio * p_source(class | x)
        return replace(fitted, bias=bias).after(scaled).head()


def _held_out(rows: np.ndarray, pair: Pair, penalty: float, seed: int) -> np.ndarray:
    """(n, classes) logits of source rows by classifiers that did not see them."""
    found, fold = np.zeros((len(rows), pair.num_classes)), folds(pair.labels, seed, FOLDS)
    for number in np.unique(fold):
        inside = fold != number
        if len(np.unique(pair.labels[inside])) > 1:
            some = classifier(rows[inside], pair.labels[inside], pair.num_classes, penalty=penalty)
            found[~inside] = some.logits(rows[~inside])
    return found
