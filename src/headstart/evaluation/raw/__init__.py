"""The plainest baseline: a linear model on the raw values, with no pretrained model at all. One file a modality.

Each module has::

    NAME, TITLE, WHAT: str                          # its key in results, and what it is, in words
    def matrices(train: Dataset, test: Dataset) -> tuple[matrix, matrix]      # (n, width) each, dense float32

``matrices`` learns what it learns (a vocabulary) from ``train`` alone.
"""

from __future__ import annotations

import numpy as np

from headstart import plugins, solvers
from headstart.data.split import Split
from headstart.models.backbone import Features
from headstart.tasks import Task


def raw_probabilities(task: Task, split: Split, seed: int) -> np.ndarray:
    """(n, k) test probabilities of a logistic regression on raw values, its penalty chosen by cross-validation."""
    import torch

    train, test = plugins.load("evaluation.raw", split.train.modality).matrices(split.train, split.test)
    labels = task.encode(split.train.labels or [])
    fitted = solvers.fit(
        "logistic", train, labels, len(task.to_dict()["classes"]), seed=seed, groups=split.train.groups
    )
    with torch.inference_mode():
        return task.probabilities(fitted.head(Features(torch.from_numpy(test))))
