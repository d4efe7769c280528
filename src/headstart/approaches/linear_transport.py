"""Linear optimal transport on features: the source moves as if both domains were Gaussian.

Flamary, Lounici, Ferrari: Concentration bounds for linear Monge mapping estimation and optimal transport domain
adaptation, 2019, arXiv 1905.10155.
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
class LinearTransport(Adaptation):
    """Args:
    regularisation: added to the diagonal of both covariances of features with variance 1.
    """

    regularisation: float = 0.1
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import LinearTransport as Transport

        return moved(Transport(regularisation=self.regularisation), pair, run)
