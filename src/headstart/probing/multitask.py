"""Multi-task: the features are the same for all and do not move, so every task has the head that it would have alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart import probing
from headstart.probing import Fitted, Options
from headstart.tasks import Task
from headstart.tasks.multitask import CLASSES, MultiTask

HEADS = ("single",)


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    assert isinstance(task, MultiTask)
    heads: dict[str, Any] = {}
    said = []
    place = 0
    for name, one in task:
        width = 1 if one.kind in CLASSES else len(one.outputs)
        block, place = labels[:, place : place + width], place + width
        rows = np.flatnonzero(np.isfinite(block).any(1))
        wanted = block[rows, 0].astype(np.int64) if one.kind in CLASSES else block[rows]
        groups = None if options.groups is None else [options.groups[int(row)] for row in rows]
        fitted = probing.fit(one, vectors[rows], wanted, seed=options.seed, groups=groups)
        heads[name] = fitted.head
        said.append(f"{name}: {fitted.said}")
    return Fitted(task.joined(heads), "single", "; ".join(said))
