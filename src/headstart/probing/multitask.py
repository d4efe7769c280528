"""Multi-task: the features are the same for all and do not move, so every task has the head that it would have alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headstart import probing
from headstart.probing import Fitted, Options
from headstart.tasks import Task
from headstart.tasks.multitask import CLASSES, MultiTask

HEADS = ("single",)


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    assert isinstance(task, MultiTask)
    found: dict[str, Fitted] = {}
    for name, one, rows, wanted in blocks(task, labels):
        groups = None if options.groups is None else [options.groups[int(row)] for row in rows]
        twins = None if options.twins is None else options.twins[rows]
        found[name] = probing.fit(one, vectors[rows], wanted, seed=options.seed, groups=groups, twins=twins)
    said = "; ".join(f"{name}: {fitted.said}" for name, fitted in found.items())
    return Fitted(task.joined({name: fitted.head for name, fitted in found.items()}), "single", said,
                  lambda: task.joined({name: fitted.start for name, fitted in found.items()}))  # fmt: skip


def mirrors(task: Task, labels: np.ndarray) -> bool:
    assert isinstance(task, MultiTask)
    return any(probing.mirrors(one, wanted) for _, one, _, wanted in blocks(task, labels))


def blocks(task: MultiTask, labels: np.ndarray) -> Iterator[tuple[str, Task, np.ndarray, np.ndarray]]:
    """Of each task its name, itself, the rows that have a label of it, and these labels."""
    place = 0
    for name, one in task:
        width = 1 if one.kind in CLASSES else len(one.outputs)
        block, place = labels[:, place : place + width], place + width
        rows = np.flatnonzero(np.isfinite(block).any(1))
        yield name, one, rows, block[rows, 0].astype(np.int64) if one.kind in CLASSES else block[rows]
