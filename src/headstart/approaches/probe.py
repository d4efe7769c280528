"""Probe: the backbone stays as it is, and a classifier is fitted on its features.

Alain and Bengio 2016, arXiv 1610.01644.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart import plugins, probing, synthetic
from headstart.approaches import Approach, check
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.progress import say
from headstart.store import Store
from headstart.synthetic import Synthetic
from headstart.tasks import Task, classes_of
from headstart.training.run import Run

MIRRORED = ("auto", "no")


@dataclass(frozen=True)
class Probe(Approach):
    """Args:
    head: "logistic", "ridge", "svm" or "knn" for a classification, "linear", "ridge" or "lasso" for a regression; "auto" is the
        usual one of the task. Its regularisation is chosen by cross-validation.
    synthetic: "smote", "smote:5", "mixup" or "mixup:0.2": small classes get synthetic rows of features until all are as
        large as the largest; "" for none. Rare classes are then found more often, and common ones are less sure.
    mirrored: a classifier of pictures learns their mirror images, too: "auto" where there are at most 1,000 training
        samples and its cross-validated log loss is lower with them, "no" never.
    """

    head: str = "auto"
    synthetic: str = ""
    mirrored: str = "auto"
    needs = frozenset({"vector"})
    kinds = frozenset()

    def __post_init__(self) -> None:
        synthetic.named(self.synthetic)
        if self.mirrored not in MIRRORED:
            raise ConfigError(f"$.approach.mirrored: expected one of {', '.join(MIRRORED)}, got {self.mirrored!r}.")

    def twins(self, backbone: Backbone, task: Task, train: Dataset, store: Store | None) -> np.ndarray | None:
        """(n, dim) the features of the mirrored training samples; None where they are not to be learned."""
        kind: type[Modality] = plugins.variant("data.modalities", train.modality, Modality)
        if self.mirrored == "no" or not kind.twin or not probing.mirrors(task, task.encode(train.labels or [])):
            return None
        return extract(backbone, train, store, twins=True).vectors

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        head = self.fitted(backbone, task, split, run).head
        return Predictor(backbone.eval(), head.eval(), task, split.train.modality)

    def fitted(self, backbone: Backbone, task: Task, split: Split, run: Run) -> probing.Fitted:
        """The head, and what is known of it."""
        check(self, backbone)
        probing.check(task, self.head)
        more = synthetic.named(self.synthetic)
        table = extract(backbone, split.train, run.store)
        labels = task.encode(split.train.labels or [])
        if more:
            note = _made(more, labels, classes_of(task, "Synthetic samples for small classes"), self.synthetic)
            say(f"{run.stage or 'probe'}: {note}")
            run.record({"epoch": 0, "train_loss": None, "note": note})
        fitted = probing.fit(
            task, table.vectors, labels, head=self.head, seed=run.seed, groups=split.train.groups, more=more,
            twins=self.twins(backbone, task, split.train, run.store),
        )  # fmt: skip
        computed = f"{table.computed} computed in {table.precision}, " if table.computed else ""
        say(f"{run.stage or 'probe'}: {len(table)} x {table.vectors.shape[1]} features ({computed}{len(table) - table.computed} "
            f"from the cache, {table.seconds:.1f} s); {fitted.said}")  # fmt: skip
        return fitted


def _made(way: Synthetic, labels: np.ndarray, classes: Sequence[str], name: str) -> str:
    """What is made of which classes, in words."""
    lacking = synthetic.counts(labels, len(classes))
    have = np.bincount(labels, minlength=len(classes))
    small = [entry for entry, some, few in zip(classes, lacking > 0, have < way.least, strict=True) if some and few]
    left = f"; too small to make any of: {', '.join(small[:5])}{' and more' if small[5:] else ''}" if small else ""
    total = int(lacking[have >= way.least].sum())
    if not total:
        return f"{name} makes no synthetic samples" + (left or ", for all classes are of one size")
    return f"{name} makes {total} synthetic samples for {int(((lacking > 0) & (have >= way.least)).sum())} classes{left}"
