"""TransRate: how many more bits all features take than those of one class, on average.

Paper: Huang et al. 2022, arXiv 2106.09362, with the code in its appendix. The determinant is taken of the smaller Gram
matrix, which gives the same value.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers
from headstart.ranking.scorers._spectrum import spectrum

NEEDS: frozenset[str] = frozenset()
COST = 2
DISTORTION = 1e-4


def score(table: FeatureTable) -> float:
    """In nats."""
    numbers, num_classes = class_numbers(table)
    sigma, _, _counts = spectrum(table.vectors, numbers, num_classes, centred=True)
    whole = 0.5 * np.log1p(sigma / (len(table) * DISTORTION)).sum()
    mean = table.vectors.mean(0, dtype=np.float64)
    parts = [_rate(table.vectors[numbers == c] - mean) for c in range(num_classes)]
    return float(whole - np.mean(parts))


def _rate(rows: np.ndarray) -> float:
    """The coding rate of (n, d) centred features."""
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return 0.5 * float(np.linalg.slogdet(np.eye(len(gram)) + gram / (len(rows) * DISTORTION))[1])
