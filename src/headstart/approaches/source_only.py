"""Source-only: a linear classifier of the source's features, used on the target as it is.

The bar that every adaptation has to clear, and what ``auto`` keeps unless the evidence says better.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Pair, classifier, scaling
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.run import Run


@dataclass(frozen=True)
class SourceOnly(Adaptation):
    """It has no settings: the penalty is chosen on source samples held out."""

    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        scaled = scaling(pair.source, together=pair.together)
        fitted = classifier(scaled(pair.source), pair.labels, pair.num_classes, penalty=pair.penalty, seed=run.seed)
        return fitted.after(scaled).head()
