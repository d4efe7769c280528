"""TrAdaBoost on features: source samples that contradict a few labelled target samples lose their say.

Dai, Yang, Xue, Yu: Boosting for Transfer Learning, ICML 2007; the weak learners are linear, so that they are plain tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Linear, Pair, classifier, scaling
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.tasks._voting import VotingHead
from headstart.training.run import Run


@dataclass(frozen=True)
class Tradaboost(Adaptation):
    """Args:
    num_rounds: classifiers at most, of which the later half votes.
    """

    num_rounds: int = 30
    needs = frozenset({"vector"})
    uses_known: ClassVar[bool] = True

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from sklearn.linear_model import LogisticRegression

        from headstart.shift import TrAdaBoost

        known, labels = pair.learnable()
        scaled = scaling(pair.source, together=pair.together)
        source, known = scaled(pair.source), scaled(known)
        penalty = pair.penalty or classifier(source, pair.labels, pair.num_classes, seed=run.seed).penalty
        weak = LogisticRegression(C=1 / (penalty * (len(source) + len(known))), max_iter=500)
        boosted = TrAdaBoost(weak, self.num_rounds).fit(source, known, pair.labels, labels)
        members = [_whole(one, boosted.classes_, pair.num_classes).after(scaled) for one in boosted.members_]
        return VotingHead.of([m.weight for m in members], [m.bias for m in members], boosted.powers_)


def _whole(fitted: object, classes: np.ndarray, num_classes: int) -> Linear:
    """A fitted logistic regression, which knows the classes by their place in ``classes``, with a row for every class."""
    coefficients, intercept = fitted.coef_, fitted.intercept_  # type: ignore[attr-defined]
    if len(coefficients) == 1:  # two classes share one row of weights
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.append(-intercept, intercept) / 2
    weight, bias = np.zeros((num_classes, coefficients.shape[1])), np.full(num_classes, -1e9)
    places = classes[fitted.classes_]  # type: ignore[attr-defined]
    weight[places], bias[places] = coefficients, intercept
    return Linear(weight, bias, 0.0)
