"""CORAL on features: the source gets the covariance of the target, and a classifier is fitted on it.

Sun, Feng, Saenko: Return of Frustratingly Easy Domain Adaptation, AAAI 2016, arXiv 1511.05547.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Pair
from headstart.approaches._shallow import moved
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.run import Run


@dataclass(frozen=True)
class Coral(Adaptation):
    """Args:
    regularisation: added to the diagonal of both covariances of features with variance 1; less moves more.
    """

    regularisation: float = 1.0
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import CORAL

        return moved(CORAL(regularisation=self.regularisation), pair, run)
