"""BDA on features: JDA with a balance between the domains as a whole and their classes, and a classifier on its components.

Wang, Chen, Hao, Feng, Shen: Balanced Distribution Adaptation for Transfer Learning, ICDM 2017, arXiv 1807.00516.
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
class Bda(Adaptation):
    """Args:
    balance, num_components, regularisation, num_rounds: as in ``hs.shift.BDA``.
    """

    balance: float = 0.5
    num_components: int = 50
    regularisation: float = 1.0
    num_rounds: int = 10
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import BDA

        adapter = BDA(self.balance, self.num_components, regularisation=self.regularisation, num_rounds=self.num_rounds)
        return moved(adapter, pair, run)
