"""A linear probe by cross-validation: ridge regression on the classes, every fold answered exactly from one decomposition.

For a smoother y^ = H y with the penalty unchanged, what the fold I is answered without its samples follows from the fit to
all: y_I - (1 - H_II)^-1 (y_I - y^_I) (the block form of leave-one-out, Allen 1974; Hastie et al., The Elements of
Statistical Learning, section 7.10). So no fold is refitted, and every penalty shares the decomposition.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.folds import folds
from headstart.ranking.scorers import class_numbers, thinned

NEEDS: frozenset[str] = frozenset()
COST = 1
PENALTIES = (3.0, 0.3, 0.03, 0.003)  # per sample, on standardised features divided by the root of their number
MOST_ROWS = 4000


def score(table: FeatureTable) -> float:
    """The share of samples that a probe trained on the other folds gets right, at the best penalty."""
    numbers, num_classes = class_numbers(table)
    rows = thinned(numbers, MOST_ROWS)
    x, numbers = table.vectors[rows], numbers[rows]
    return float((predictions(x, numbers, num_classes, [folds(numbers)])[0] == numbers).mean())


def predictions(x: np.ndarray, numbers: np.ndarray, num_classes: int, splits: list[np.ndarray]) -> np.ndarray:
    """For each way to part the samples into folds, the class numbers (splits, n) answered for held-out samples.

    The penalty is the one with the least squared error over all splits; choosing it by accuracy would flatter.
    """
    values, vectors = decomposed(x)
    target = np.eye(num_classes)[numbers]
    centre = target.mean(0)
    rotated = vectors.T @ (target - centre)
    best, answers = np.inf, np.empty((len(splits), len(x)), np.int64)
    for penalty in PENALTIES:
        shrink = values / (values + penalty * len(x))
        residual = target - centre - vectors @ (shrink[:, None] * rotated)
        error, said = 0.0, np.empty((len(splits), len(x)), np.int64)
        for row, fold in enumerate(splits):
            for number in np.unique(fold):
                held = np.flatnonzero(fold == number)
                part = vectors[held]
                smoother = (part * shrink) @ part.T + 1 / len(x)
                missed = np.linalg.solve(np.eye(len(held)) * (1 + 1e-9) - smoother, residual[held])
                error += float(np.square(missed).sum())
                said[row, held] = (target[held] - missed).argmax(1)
        if error < best:
            best, answers = error, said
    return answers


def decomposed(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The squared singular values (r,) and left singular vectors (n, r) of standardised features (n, d)."""
    scale = x.std(0, dtype=np.float64)
    scale = np.where(scale > 1e-9 * max(1e-30, float(scale.max())), scale, np.inf) * np.sqrt(x.shape[1])
    rows = (x - x.mean(0, dtype=np.float64)) / scale
    if len(rows) <= rows.shape[1]:
        values, vectors = np.linalg.eigh(rows @ rows.T)
        kept = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
        return values[kept], vectors[:, kept]
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values > max(values[-1], 0) * len(rows) * np.finfo(np.float64).eps
    return values[kept], rows @ (vectors[:, kept] / np.sqrt(values[kept]))
