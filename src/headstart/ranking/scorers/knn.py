"""k nearest neighbours by the cosine of standardised features, judged by cross-validation. Nothing is fitted.

Each of five folds is answered by the samples of the others; neighbours vote with equal weight, the nearest decides a tie.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.folds import folds
from headstart.ranking.scorers import class_numbers, thinned

NEEDS: frozenset[str] = frozenset()
COST = 1
NEIGHBOURS = 5
MOST_ROWS = 4000


def score(table: FeatureTable) -> float:
    """The share of samples that their neighbours name rightly."""
    numbers, num_classes = class_numbers(table)
    rows = thinned(numbers, MOST_ROWS)
    x, numbers = table.vectors[rows], numbers[rows]
    return float((predictions(x, numbers, num_classes, folds(numbers)) == numbers).mean())


def predictions(x: np.ndarray, numbers: np.ndarray, num_classes: int, fold: np.ndarray) -> np.ndarray:
    """Class numbers (n,) that each sample's neighbours outside of its fold say, from features (n, d)."""
    scale = x.std(0, dtype=np.float64)
    centred = (x - x.mean(0, dtype=np.float64)) / np.where(scale > 1e-9, scale, np.inf)
    unit = (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    found = np.empty(len(x), np.int64)
    for number in np.unique(fold):
        held, kept = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        k = min(NEIGHBOURS, len(kept))
        near = unit[held] @ unit[kept].T
        best = np.argpartition(-near, k - 1, axis=1)[:, :k]
        closeness = np.take_along_axis(near, best, 1)
        votes = np.zeros((len(held), num_classes))
        for j in range(k):  # a vote, and a whisper for nearness that can only decide ties
            votes[np.arange(len(held)), numbers[kept[best[:, j]]]] += 1 + closeness[:, j] / 100
        found[held] = votes.argmax(1)
    return found
