"""At which depth of a backbone the transfer lives: a linear probe on the output of every stage.

Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart import solvers
from headstart.data.dataset import Dataset
from headstart.features.depth import stage_vectors
from headstart.models.backbone import Backbone
from headstart.progress import track
from headstart.store import Store

SOLVER = "ridge"  # closed-form: eight stages cost seconds; depths are compared with one another, not with other heads
CONFIDENCE = 1.96  # standard errors on each side of an accuracy


@dataclass(frozen=True)
class Depth:
    """One stage and how well a linear probe on its output tells the classes.

    Attributes:
        stage: its name.
        dim: numbers a sample.
        parameters: of the stage.
        accuracy: cross-validated on the samples.
        interval: 95 % confidence of the accuracy (Wilson).
    """

    stage: str
    dim: int
    parameters: int
    accuracy: float
    interval: tuple[float, float]

    @property
    def error(self) -> float:
        """The standard error of the accuracy."""
        return (self.interval[1] - self.interval[0]) / (2 * CONFIDENCE)


def by_depth(
    backbone: Backbone, dataset: Dataset, labels: np.ndarray, num_classes: int, store: Store | None = None, seed: int = 0
) -> list[Depth]:
    """Every stage, early to late.

    Args:
        labels: (n,) class numbers of the samples.

    Raises:
        Incompatible: the backbone is no network whose stages can be watched.
    """
    tables = stage_vectors(backbone, dataset, store)
    found = []
    for stage, vectors in zip(backbone.stages, track(tables, "probing stages", len(tables)), strict=True):
        fitted = solvers.fit(SOLVER, vectors, labels, num_classes, seed=seed)
        size = sum(parameter.numel() for parameter in stage.parameters())
        found.append(
            Depth(stage.name, vectors.shape[1], size, fitted.accuracy, wilson(fitted.accuracy, len(labels)))
        )
    return found


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` samples (Wilson 1927, JASA 22(158))."""
    z, n = CONFIDENCE, max(1, count)
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return float(max(0.0, (middle - half) / scale)), float(min(1.0, (middle + half) / scale))
