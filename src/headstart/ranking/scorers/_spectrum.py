"""The eigenvalues of the features and what the classes look like beside them: shared by LogME and the H-scores.

One decomposition of the smaller Gram matrix serves all classes, so the left singular vectors (samples, rank) are never
formed and memory stays at a few times min(samples, features) squared.
"""

from __future__ import annotations

import numpy as np

BLOCK = 2048  # rows that are held in float64 at once


def spectrum(
    x: np.ndarray, numbers: np.ndarray, num_classes: int, *, centred: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X = U S V'. Returns the squared singular values (r,) that are not zero, S U' Y of shape (r, k), and counts (k,).

    Args:
        x: (n, d) features.
        numbers: (n,) class numbers; Y is their (n, k) matrix of ones and zeros.
        centred: whether the mean of each feature is taken out first.
    """
    n, d = x.shape
    mean = x.mean(0, dtype=np.float64) if centred else np.zeros(d)
    counts = np.bincount(numbers, minlength=num_classes).astype(np.float64)
    if n > d:
        sums = np.stack([x[numbers == c].sum(0, dtype=np.float64) for c in range(num_classes)])
        values, vectors = np.linalg.eigh(_gram(x, mean))
        values, kept = _kept(values, max(n, d))
        return values, vectors.T[kept] @ (sums - counts[:, None] * mean).T, counts
    rows = x - mean  # float64, no larger than d by d
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values, kept = _kept(values, max(n, d))
    order = np.argsort(numbers, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(int)
    sums = np.add.reduceat(np.append(vectors[order], np.zeros((1, n)), 0), starts, 0)  # (k, n) = Y' U
    sums[counts == 0] = 0
    return values, np.sqrt(values)[:, None] * sums.T[kept], counts


def _gram(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The (d, d) sum of outer products of the rows less their mean."""
    found = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - mean
        found += rows.T @ rows
    return found


def _kept(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    kept = values > values[-1] * size * np.finfo(np.float64).eps
    return values[kept], kept
