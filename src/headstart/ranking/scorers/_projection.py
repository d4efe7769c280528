"""Features along their first principal components."""

from __future__ import annotations

import numpy as np


def components(x: np.ndarray, most: int, energy: float = 1.0) -> np.ndarray:
    """(n, at most ``most``) float64: as many leading components as hold ``energy`` of the variance, at least one."""
    rows = x - x.mean(0, dtype=np.float64)
    if len(rows) > rows.shape[1]:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        taken = _taken(values, most, energy)
        return rows @ vectors[:, ::-1][:, :taken]
    values, vectors = np.linalg.eigh(rows @ rows.T)
    taken = _taken(values, most, energy)
    return vectors[:, ::-1][:, :taken] * np.sqrt(np.maximum(values[::-1][:taken], 0))


def _taken(values: np.ndarray, most: int, energy: float) -> int:
    descending = np.maximum(values[::-1], 0)
    share = np.cumsum(descending) / descending.sum()
    nonzero = int((descending > descending[0] * len(values) * np.finfo(np.float64).eps).sum())
    return max(1, min(most, nonzero, int(np.searchsorted(share, energy - 1e-12)) + 1))
