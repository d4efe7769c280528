"""Probe: the backbone stays as it is, and a classifier is fitted on its features.

Alain and Bengio 2016, arXiv 1610.01644.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart import plugins, solvers
from headstart.approaches import Approach, check
from headstart.data.split import Split
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.progress import say
from headstart.tasks import Task
from headstart.training.run import Run


@dataclass(frozen=True)
class Probe(Approach):
    """Args:
    head: "logistic", "ridge", "svm" or "knn"; its regularisation is chosen by cross-validation.
    """

    head: str = "logistic"
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        check(self, backbone)
        plugins.load("solvers", self.head)
        table = extract(backbone, split.train, run.store)
        labels = task.encode(split.train.labels or [])
        num_classes = len(task.to_dict()["classes"])
        fitted = solvers.fit(self.head, table.vectors, labels, num_classes, seed=run.seed, groups=split.train.groups)
        say(f"{run.stage or 'probe'}: {len(table)} x {table.vectors.shape[1]} features ({table.computed} computed in "
            f"{table.precision}, {len(table) - table.computed} from the cache, {table.seconds:.1f} s); {self.head} head, "
            f"cross-validated accuracy {fitted.accuracy:.3f} at {fitted.setting:g}")  # fmt: skip
        return Predictor(backbone.eval(), fitted.head.eval(), task, split.train.modality)
