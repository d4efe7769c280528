"""PARC: whether samples whose labels differ have features that differ: rank correlation of the two distances.

Paper: Bolya et al. 2021, arXiv 2111.06977. Distances of all pairs are needed, so at most 1,000 samples are looked at.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers, thinned

NEEDS: frozenset[str] = frozenset()
COST = 1
MOST_ROWS = 1000


def score(table: FeatureTable) -> float:
    """Spearman's correlation in hundredths, as in the paper."""
    numbers, _ = class_numbers(table)
    rows = thinned(numbers, MOST_ROWS)
    if len(np.unique(numbers[rows])) == len(rows) < len(numbers):  # no two of a class are left: whole classes instead
        rows = np.argsort(numbers, kind="stable")[:MOST_ROWS]
    x, numbers = table.vectors[rows].astype(np.float64), numbers[rows]
    x = x - x.mean(1, keepdims=True)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    upper = np.triu_indices(len(x), 1)
    distances, differ = (1 - x @ x.T)[upper], (numbers[:, None] != numbers)[upper]
    if differ.all() or not differ.any():
        return float("nan")
    return 100 * float(np.corrcoef(ranks(distances), ranks(differ))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (n,); equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
