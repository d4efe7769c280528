"""Means, covariances and their powers, in blocks of rows: memory stays at dim x dim whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from headstart.shift._inputs import Domains
from headstart.shift._pencil import leading, signs

BLOCK = 1 << 24  # numbers in a block of rows: 128 MiB as float64
RANK = 1e-12  # eigenvalues below this share of the largest are rounding


def blocks(x: np.ndarray, width: int | None = None) -> Iterator[slice]:
    """Slices of rows; ``width``: the numbers a row becomes, where that is more than it has."""
    step = max(1, BLOCK // max(x.shape[1], width or 1))
    return (slice(start, start + step) for start in range(0, len(x), step))


def covariance(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and covariance (dim, dim) of rows (num, dim), divided by num - 1, in float64."""
    mean = x.mean(0, dtype=np.float64)
    total = np.zeros((x.shape[1], x.shape[1]))
    for rows in blocks(x):
        centred = x[rows].astype(np.float64) - mean
        total += centred.T @ centred
    return mean, total / max(len(x) - 1, 1)


def root(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a symmetric positive semi-definite matrix; negative powers leave its null space at 0."""
    values, vectors = scipy.linalg.eigh(matrix, check_finite=False)
    sound = values > max(values[-1], 0.0) * RANK * len(values)
    return (vectors[:, sound] * values[sound] ** power) @ vectors[:, sound].T


def difference(domains: Domains) -> np.ndarray:
    """The vector e of the papers: 1 / num_source on source rows, -1 / num_target on target rows; L = e e'."""
    source, target = len(domains.source), len(domains.target)
    return np.concatenate([np.full(source, 1 / source), np.full(target, -1 / target)])


def centred(x: np.ndarray) -> np.ndarray:
    """H x: columns without their mean."""
    return x - x.mean(0)


@dataclass(frozen=True)
class Moments:
    """What the linear methods need of both domains together.

    Attributes:
        num: rows of both.
        mean: (dim,) over all rows.
        scatter: (dim, dim) sum of (x - mean)(x - mean)' over all rows, X' H X in the papers.
        difference: (dim,) mean of the source - mean of the target, X' e in the papers.
    """

    num: int
    mean: np.ndarray
    scatter: np.ndarray
    difference: np.ndarray

    @property
    def gram(self) -> np.ndarray:
        """(dim, dim) X' X, not centred."""
        return self.scatter + self.num * np.outer(self.mean, self.mean)


def moments(domains: Domains, features: Callable[[np.ndarray], np.ndarray] | None = None, width: int = 0) -> Moments:
    """One pass over the rows, or over ``features`` of them, ``width`` numbers each, which are never held all at once."""
    shift: np.ndarray | None = None  # near the mean, so that little is lost when the products of means go
    total, sums = np.zeros(0), []
    for x in (domains.source, domains.target):
        part = np.zeros(0)
        for rows in blocks(x, width):
            values = np.asarray(features(x[rows]) if features else x[rows], np.float64)
            if shift is None:
                shift, total = values.mean(0), np.zeros((values.shape[1], values.shape[1]))
            if not len(part):
                part = np.zeros_like(shift)
            values = values - shift
            total += values.T @ values
            part += values.sum(0)
        sums.append(part)
    assert shift is not None
    numbers = len(domains.source), len(domains.target)
    centre = (sums[0] + sums[1]) / sum(numbers)
    scatter = total - sum(numbers) * np.outer(centre, centre)
    return Moments(sum(numbers), centre + shift, scatter, sums[0] / numbers[0] - sums[1] / numbers[1])


def upper_root(matrix: np.ndarray) -> np.ndarray:
    """R (rank, dim) with R'R = the symmetric positive semi-definite matrix, by pivoted Cholesky (LAPACK pstrf)."""
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(matrix, tol=-1.0)
    out = np.empty((rank, len(matrix)))
    out[:, pivots - 1] = np.triu(factor)[:rank]
    return out


def principal(x: np.ndarray, num_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and the leading principal axes (dim, found), orthonormal; no more than there are directions."""
    num, dim = x.shape
    none = np.zeros((min(num, dim), 1))
    if num > dim:
        mean, scatter = covariance(x)
        axes = leading(lambda v: scatter @ v, none, 1.0, num_components)[1]
    else:
        mean = x.mean(0, dtype=np.float64)
        rows = x - mean
        gram = rows @ rows.T
        axes = rows.T @ leading(lambda v: gram @ v, none, 1.0, num_components)[1]
    axes = scipy.linalg.qr(axes, mode="economic", check_finite=False)[0]
    return mean, axes * signs(axes)
