"""Classification: every solver fits a head of it."""

from __future__ import annotations

import numpy as np

from headstart import plugins, solvers
from headstart.probing import Fitted, Options
from headstart.tasks import Task

FIRST = "logistic"
HEADS = (FIRST, *(name for name in plugins.names("solvers") if name != FIRST))

FEW = 1000  # samples up to which mirror images are tried: beyond they gain little and cost a second pass


def mirrors(task: Task, labels: np.ndarray) -> bool:
    return len(labels) <= FEW


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    def solved(twins: np.ndarray | None) -> solvers.Fitted:
        return solvers.fit(options.head, vectors, labels, len(task.outputs), seed=options.seed, groups=options.groups,
                           more=options.more, twins=twins)  # fmt: skip

    found = solved(None)
    if not found.tried:
        said = f"{options.head} head at {found.setting:g}, the middle of its grid: too few samples for cross-validation"
        return Fitted(found.head, options.head, said)
    mirrored = ""
    if options.twins is not None:
        other = solved(options.twins)
        mirrored = f", without mirror images ({other.accuracy:.3f} with them)"
        if other.loss < found.loss:
            mirrored = f", with mirror images ({found.accuracy:.3f} without)"
            found = other
    said = f"{options.head} head, cross-validated accuracy {found.accuracy:.3f} at {found.setting:g}{mirrored}"
    return Fitted(found.head, options.head, said)
