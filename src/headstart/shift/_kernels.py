"""Kernels as features: rows x become phi(x) with k(x, y) = phi(x)' phi(y), so that no n x n matrix is needed.

- linear: the rows themselves.
- rbf, k(x, y) = exp(-gamma |x - y|^2): up to ``EXACT`` rows exactly, beyond by Nystroem's method on landmarks
  (Williams, Seeger: Using the Nystroem Method to Speed Up Kernel Machines, NIPS 2000): phi(x) = K_zz^(-1/2) k_z(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import scipy.sparse

from headstart.errors import ConfigError
from headstart.shift._inputs import Domains, Rows, double, sparse, stacked

EXACT = 4000  # rows of both domains up to which the whole kernel matrix is held (128 MB)
BLOCK = 128  # rows whose products are sparse at once
STRIPES = 8  # parts of a matrix of which no half is computed twice
MEDIAN_ROWS = 1000  # rows that the median heuristic looks at


@dataclass(frozen=True)
class Landmarks:
    """Nystroem features of the RBF kernel: (num, dim) -> (num, rank)."""

    rows: Rows  # (num_landmarks, dim)
    gamma: float
    matrix: np.ndarray  # (num_landmarks, rank) K_zz^(-1/2) without its null space

    def __call__(self, x: Rows) -> np.ndarray:
        return rbf(x, self.rows, self.gamma) @ self.matrix


def landmarks(domains: Domains, gamma: float, num: int, seed: int) -> Landmarks:
    """``num`` rows drawn at random, and what turns distances to them into features."""
    rows = some(domains, num, seed)
    values, vectors = scipy.linalg.eigh(rbf(rows, rows, gamma), check_finite=False)
    sound = values > 1e-10 * values[-1]
    return Landmarks(rows, gamma, vectors[:, sound] / np.sqrt(values[sound]))


def some(domains: Domains, num: int, seed: int) -> Rows:
    """At most ``num`` different rows of both domains, drawn at random, in float64."""
    border = domains.num_source
    chosen = _drawn(border + domains.num_target, num, seed)
    parts = [domains.source[chosen[chosen < border]], domains.target[chosen[chosen >= border] - border]]
    return double(stacked(parts))


def _drawn(total: int, num: int, seed: int) -> np.ndarray:
    """At most ``num`` different numbers below ``total``, drawn at random, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:num])


def products(x: Rows, y: Rows) -> np.ndarray:
    """(num_x, num_y) the linear kernel x'y, in float64; of sparse rows with themselves one half is copied from the other."""
    if scipy.sparse.issparse(y) and not scipy.sparse.issparse(x):
        x = sparse(x)
    x, y, same = double(x), double(y), x is y
    if not scipy.sparse.issparse(y):
        return np.asarray(x @ y.T)
    out, columns = np.empty((x.shape[0], y.shape[0])), y.T.tocsr()
    for begin, end in _spans(len(out), STRIPES if same else 1):
        done = begin if same else 0  # columns of these rows that stripes above already have
        for start in range(begin, end, BLOCK):  # what a product of sparse rows needs on the way is larger than the result
            rows = slice(start, min(start + BLOCK, end))
            out[rows, done:] = (x[rows] @ columns).toarray()
        if same:
            out[end:, begin:end] = out[begin:end, end:].T
            columns = y[end:].T.tocsr()
    return out


def _spans(num: int, parts: int) -> list[tuple[int, int]]:
    """``num`` rows in parts of one size, but for the last."""
    size = max(1, -(-num // parts))
    return [(start, min(start + size, num)) for start in range(0, num, size)]


def squared_distances(x: Rows, y: Rows) -> np.ndarray:
    """(num_x, num_y) squared Euclidean distances, never below 0."""
    out = products(x, y)
    out *= -2
    out += _squared_norms(x)[:, None]
    out += _squared_norms(y)
    return np.maximum(out, 0, out=out)


def _squared_norms(x: Rows) -> np.ndarray:
    x = double(x)
    return np.asarray(x.multiply(x).sum(1)).ravel() if scipy.sparse.issparse(x) else np.einsum("ij,ij->i", x, x)


def rbf(x: Rows, y: Rows, gamma: float) -> np.ndarray:
    """(num_x, num_y) exp(-gamma |x - y|^2)."""
    out = squared_distances(x, y)
    out *= -gamma
    return np.exp(out, out=out)


def gamma_of(domains: Domains, gamma: float | None, seed: int = 0) -> float:
    """The given gamma, or 1 / the median squared distance between (at most 1,000) rows.

    Raises:
        ConfigError: gamma is not above 0.
    """
    if gamma is not None:
        return _positive(gamma)
    rows = some(domains, MEDIAN_ROWS, seed)
    return _by_median(squared_distances(rows, rows))


def rbf_of_all(domains: Domains, gamma: float | None, seed: int = 0) -> tuple[Rows, np.ndarray, float]:
    """All rows, the RBF kernel of them (num, num), and gamma as ``gamma_of`` has it, from the same distances.

    Raises:
        ConfigError: gamma is not above 0.
    """
    rows = double(domains.rows)
    if gamma is not None:
        _positive(gamma)
    kernel = squared_distances(rows, rows)
    if gamma is None:
        chosen = _drawn(len(kernel), MEDIAN_ROWS, seed)
        gamma = _by_median(kernel[np.ix_(chosen, chosen)])
    kernel *= -gamma
    return rows, np.exp(kernel, out=kernel), float(gamma)


def rbf_features(rows: Rows, gamma: float) -> partial[np.ndarray]:
    """x (num, dim) -> kernel values with all ``rows``."""
    return partial(rbf, y=rows, gamma=gamma)


def _positive(gamma: float) -> float:
    if not gamma > 0:
        raise ConfigError(f"gamma is {gamma}; it must be above 0, or None for the median of the distances.")
    return float(gamma)


def _by_median(squared: np.ndarray) -> float:
    """1 / the median of squared distances (num, num), those of equal rows left out."""
    distances = squared[~np.tri(len(squared), dtype=bool)]
    positive = distances[distances > 1e-12 * distances.max(initial=0.0)]
    return 1 / float(np.median(positive)) if len(positive) else 1.0
