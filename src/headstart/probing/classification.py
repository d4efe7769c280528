"""Classification: every solver fits a head of it."""

from __future__ import annotations

import numpy as np

from headstart import plugins, solvers
from headstart.probing import Fitted, Options
from headstart.tasks import Task

FIRST = "logistic"
HEADS = (FIRST, *(name for name in plugins.names("solvers") if name != FIRST))


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    found = solvers.fit(
        options.head, vectors, labels, len(task.outputs), seed=options.seed, groups=options.groups, more=options.more
    )
    said = f"{options.head} head, cross-validated accuracy {found.accuracy:.3f} at {found.setting:g}"
    if not found.tried:
        said = f"{options.head} head at {found.setting:g}, the middle of its grid: too few samples for cross-validation"
    return Fitted(found.head, options.head, said)
