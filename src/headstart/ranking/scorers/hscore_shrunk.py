"""The H-score with a shrunk covariance, which works with few samples, too.

Paper: Ibrahim et al. 2021, arXiv 2110.06893; the shrinkage is that of Ledoit and Wolf 2004, doi
10.1016/S0047-259X(03)00096-4. Reference code: regularized_h_score in github.com/thuml/Transfer-Learning-Library,
tllib/ranking/hscore.py.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers
from headstart.ranking.scorers._spectrum import BLOCK, spectrum

NEEDS: frozenset[str] = frozenset()
COST = 1


def score(table: FeatureTable) -> float:
    """(1 - shrinkage) tr(shrunk cov(f)^-1 cov(E[f|y]))."""
    n, _d = table.vectors.shape
    sigma, projected, counts = spectrum(table.vectors, *class_numbers(table), centred=True)
    shrinkage, level = ledoit_wolf(table.vectors, sigma)
    variances = (1 - shrinkage) * sigma / n + shrinkage * level  # (r,) of the shrunk covariance, along its directions
    between = (projected**2 / np.maximum(counts, 1)).sum(1) / (n - 1)
    return float((1 - shrinkage) * (between / variances).sum())


def ledoit_wolf(x: np.ndarray, sigma: np.ndarray) -> tuple[float, float]:
    """The weight of the round covariance, and its variance, from features (n, d) and squared singular values (r,)."""
    n, d = x.shape
    level = sigma.sum() / n / d
    mean = x.mean(0, dtype=np.float64)
    fourth = sum(float((((x[i : i + BLOCK] - mean) ** 2).sum(1) ** 2).sum()) for i in range(0, n, BLOCK))
    squared = float((sigma**2).sum()) / n**2
    noise = (fourth / n - squared) / (d * n)
    distance = (squared - d * level**2) / d
    noise = min(noise, distance)
    return (0.0 if noise <= 0 else noise / distance), level
