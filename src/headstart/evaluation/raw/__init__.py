"""The plainest baseline: a linear model on the raw values, with no pretrained model at all. One file a modality.

Each module has::

    NAME, TITLE, WHAT: str                          # its key in results, and what its input is, in words
    def matrices(train: Dataset, test: Dataset) -> tuple[matrix, matrix]      # (n, width) each, dense float32

``matrices`` learns what it learns (a vocabulary) from ``train`` alone.
"""

from __future__ import annotations

import numpy as np

from headstart import plugins, probing
from headstart.data.split import Split
from headstart.models.backbone import Features
from headstart.tasks import Task


def raw_probabilities(task: Task, split: Split, seed: int) -> np.ndarray:
    """(n, k) test probabilities of a linear model on raw values, its penalty chosen by cross-validation."""
    return raw_predictions(task, split, seed)[0]


def raw_predictions(task: Task, split: Split, seed: int) -> tuple[np.ndarray, Task]:
    """Test probabilities (n, k) of a linear model on raw values, and the task as tuned on its validation ones."""
    import torch

    matrices = plugins.load("evaluation.raw", split.train.modality).matrices
    train, test = matrices(split.train, split.test)
    head = probing.fit(task, train, task.encode(split.train.labels or []), seed=seed, groups=split.train.groups).head

    def said(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return task.probabilities(head(Features(torch.from_numpy(rows))))

    if not task.tunes:
        return said(test), task
    return said(test), task.tuned(said(matrices(split.train, split.valid)[1]), split.valid.labels or [])
