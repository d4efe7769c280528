"""SSTCA on features: TCA whose components also follow the labels of the source and keep neighbours together.

Pan, Tsang, Kwok, Yang: Domain Adaptation via Transfer Component Analysis, IEEE Trans. Neural Networks 22(2), 2011,
section IV.
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
class Sstca(Adaptation):
    """Args:
    num_components, regularisation, dependence, locality: as in ``hs.shift.SSTCA``, here with its linear kernel.
    """

    num_components: int = 50
    regularisation: float = 1.0
    dependence: float = 0.5
    locality: float = 1.0
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import SSTCA

        method = SSTCA(self.num_components, "linear", self.regularisation, self.dependence, self.locality)
        return moved(method, pair, run)
