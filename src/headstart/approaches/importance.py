"""Importance weighting: source samples count by how much more likely they are in the target.

Shimodaira: Improving predictive inference under covariate shift, J. Statistical Planning and Inference 90(2), 2000; the
weights by Bickel, Brueckner, Scheffer, JMLR 10, 2009, or by kernel mean matching, Huang et al., NIPS 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Pair, classifier, scaling
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.run import Run


@dataclass(frozen=True)
class Importance(Adaptation):
    """Args:
    method: "ratio": a classifier tells the domains apart, and its odds are the weights; "kmm": kernel mean matching.
    exponent: of the odds; 1 weighs fully (least bias), 0 not at all (least variance).
    """

    method: Literal["ratio", "kmm"] = "ratio"
    exponent: float = 0.5
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        from headstart.shift import KMM, DensityRatio

        scaled = scaling(pair.source, pair.target)
        source, target = scaled(pair.source), scaled(pair.target)
        method = KMM(seed=run.seed) if self.method == "kmm" else DensityRatio(exponent=self.exponent)
        weights = method.fit(source, target).weights_
        fitted = classifier(source, pair.labels, pair.num_classes, penalty=pair.penalty, weights=weights, seed=run.seed)
        return fitted.after(scaled).head()
