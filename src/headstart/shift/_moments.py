"""Means, covariances and their powers, in blocks of rows: memory stays at dim x dim whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse

from headstart.shift._inputs import Domains, Rows, dense, double
from headstart.shift._pencil import leading, signs

BLOCK = 1 << 24  # numbers in a block of rows: 128 MiB as float64
RANK = 1e-12  # eigenvalues below this share of the largest are rounding


def blocks(x: Rows, width: int | None = None) -> Iterator[slice]:
    """Slices of rows; ``width``: the numbers a row becomes, where that is more than it has."""
    step = max(1, BLOCK // max(x.shape[1], width or 1))
    return (slice(start, start + step) for start in range(0, x.shape[0], step))


def covariance(x: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and covariance (dim, dim) of rows (num, dim), divided by num - 1, in float64."""
    mean = mean_of(x)
    if scipy.sparse.issparse(x):
        total = dense(double(x).T @ double(x)) - x.shape[0] * np.outer(mean, mean)
        return mean, total / max(x.shape[0] - 1, 1)
    total = np.zeros((x.shape[1], x.shape[1]))
    for rows in blocks(x):
        centred = x[rows].astype(np.float64) - mean
        total += centred.T @ centred
    return mean, total / max(len(x) - 1, 1)


def mean_of(x: Rows) -> np.ndarray:
    """(dim,) in float64."""
    return np.asarray(x.mean(0, dtype=np.float64)).ravel()


def affine(x: Rows, matrix: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(x - before) matrix + after for rows (num, dim), in float64 block by block, given in the precision of x."""
    out = np.empty((x.shape[0], matrix.shape[1]), x.dtype)
    constant = after - before @ matrix
    for rows in blocks(x, matrix.shape[1]):
        block = x[rows]
        out[rows] = block @ matrix + constant if scipy.sparse.issparse(x) else (block - before) @ matrix + after
    return out


def root(matrix: np.ndarray, power: float) -> np.ndarray:
    """A power of a symmetric positive semi-definite matrix; negative powers leave its null space at 0."""
    values, vectors = scipy.linalg.eigh(matrix, check_finite=False)
    sound = values > max(values[-1], 0.0) * RANK * len(values)
    return (vectors[:, sound] * values[sound] ** power) @ vectors[:, sound].T


def of_covariances(
    domains: Domains, make: Callable[[np.ndarray, np.ndarray], np.ndarray], outside: float
) -> np.ndarray:
    """What ``make`` makes of the covariances of source and target, (dim, dim).

    Few rows span few directions, and in all others both covariances are 0: then matrices as large as there are rows are
    enough.

    Args:
        outside: what ``make`` makes of a direction in which both are 0.
    """
    parts = domains.source, domains.target
    if 2 * (domains.num_source + domains.num_target) > domains.source.shape[1]:
        return make(*(covariance(x)[1] for x in parts))
    rows = np.concatenate([double(dense(x)) - mean_of(x) for x in parts])
    basis = scipy.linalg.qr(rows.T, mode="economic", check_finite=False)[0]  # (dim, rows of both)
    inner = make(*(covariance(x @ basis)[1] for x in parts))
    return (basis @ (inner - outside * np.eye(len(inner)))) @ basis.T + outside * np.eye(len(basis))


def difference(domains: Domains) -> np.ndarray:
    """The vector e of the papers: 1 / num_source on source rows, -1 / num_target on target rows; L = e e'."""
    source, target = domains.num_source, domains.num_target
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
            values = double(features(x[rows]) if features else dense(x[rows]))
            if shift is None:
                shift, total = values.mean(0), np.zeros((values.shape[1], values.shape[1]))
            if not len(part):
                part = np.zeros_like(shift)
            values = values - shift
            total += values.T @ values
            part += values.sum(0)
        sums.append(part)
    assert shift is not None
    numbers = domains.num_source, domains.num_target
    centre = (sums[0] + sums[1]) / sum(numbers)
    scatter = total - sum(numbers) * np.outer(centre, centre)
    return Moments(sum(numbers), centre + shift, scatter, sums[0] / numbers[0] - sums[1] / numbers[1])


def upper_root(matrix: np.ndarray) -> np.ndarray:
    """R (rank, dim) with R'R = the symmetric positive semi-definite matrix, by pivoted Cholesky (LAPACK pstrf)."""
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(matrix, tol=-1.0)
    out = np.empty((rank, len(matrix)))
    out[:, pivots - 1] = np.triu(factor)[:rank]
    return out


def principal(x: Rows, num_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dim,) and the leading principal axes (dim, found), orthonormal; no more than there are directions."""
    num, dim = x.shape
    none = np.zeros((min(num, dim), 1))
    if scipy.sparse.issparse(x):
        mean = mean_of(x)
        axes = leading(_scatter_product(double(x), mean), np.zeros((dim, 1)), 1.0, num_components)[1]
    elif num > dim:
        mean, scatter = covariance(x)
        axes = leading(lambda v: scatter @ v, none, 1.0, num_components)[1]
    else:
        mean = x.mean(0, dtype=np.float64)
        rows = x - mean
        gram = rows @ rows.T
        axes = rows.T @ leading(lambda v: gram @ v, none, 1.0, num_components)[1]
    axes = scipy.linalg.qr(axes, mode="economic", check_finite=False)[0]
    return mean, axes * signs(axes)


def _scatter_product(x: Rows, mean: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """v -> X' H X v for sparse rows, without their dim x dim scatter."""
    return lambda v: x.T @ (along := x @ v - mean @ v) - mean * along.sum()
