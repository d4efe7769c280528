"""TJM on features: components on which the domains agree, from source rows weighed by how they fit, and a classifier on them.

Long, Wang, Ding, Sun, Yu: Transfer Joint Matching for Unsupervised Domain Adaptation, CVPR 2014.
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
class Tjm(Adaptation):
    """Args:
    num_components, regularisation, num_rounds: as in ``hs.shift.TJM``, which takes at most 4,000 rows.
    """

    num_components: int = 50
    regularisation: float = 1.0
    num_rounds: int = 10
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import TJM

        return moved(
            TJM(self.num_components, regularisation=self.regularisation, num_rounds=self.num_rounds), pair, run
        )
