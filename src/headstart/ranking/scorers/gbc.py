"""GBC: how much the classes, each a Gaussian, overlap (Bhattacharyya coefficients).

Paper: Pandy et al. 2022, arXiv 2111.12780; features along 64 principal components and diagonal covariances, as there.
The mean over the pairs of classes is taken where the paper takes the sum, which does not change the order.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers, thinned
from headstart.ranking.scorers._projection import components

NEEDS: frozenset[str] = frozenset()
COST = 1
COMPONENTS = 64
MOST_ROWS = 10_000


def score(table: FeatureTable) -> float:
    """Minus the mean overlap of two classes: between -1 (all alike) and 0 (all apart)."""
    rows = thinned(class_numbers(table)[0], MOST_ROWS)
    numbers = np.unique(class_numbers(table)[0][rows], return_inverse=True)[1]
    x = components(table.vectors[rows], COMPONENTS)
    counts = np.bincount(numbers)
    means = np.stack([x[numbers == c].mean(0) for c in range(len(counts))])
    within = np.square(x - means[numbers]).mean(0) + 1e-9 * x.var(0).sum()
    # a class of one sample has no variance of its own: each gets one sample's worth of the common one
    variances = np.stack([(np.square(x[numbers == c] - means[c]).sum(0) + within) / (counts[c] + 1)
                          for c in range(len(counts))])  # fmt: skip
    overlap = 0.0
    for c in range(len(counts) - 1):
        between = (variances[c] + variances[c + 1 :]) / 2
        distance = np.square(means[c] - means[c + 1 :]) / between / 8
        volume = np.log(between / np.sqrt(variances[c] * variances[c + 1 :])) / 2
        overlap += float(np.exp(-(distance + volume).sum(1)).sum())
    return -overlap * 2 / (len(counts) * (len(counts) - 1))
