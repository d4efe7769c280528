"""Subspace alignment on features: the principal axes of the source are turned onto those of the target.

Fernando, Habrard, Sebban, Tuytelaars: Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV 2013.
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
class Subspace(Adaptation):
    """Args:
    num_components: principal axes of each domain.
    """

    num_components: int = 50
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import SubspaceAlignment

        return moved(SubspaceAlignment(self.num_components), pair, run)
