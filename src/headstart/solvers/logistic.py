"""Multinomial logistic regression with an L2 penalty. The setting is the penalty per sample, lambda.

minimise  mean cross-entropy + lambda / 2 * |weight|^2   (scikit-learn's C is 1 / (n * lambda))

The settings are solved one after the other, the strongest first, each begun at the minimum before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from headstart.solvers import Solver, Table, linear_head
from headstart.tasks import Head

SPARSE = 0.25  # share of nearly empty columns from which on they are multiplied as a sparse matrix
EMPTY = 0.1  # share of values that are not zero below which a column is nearly empty
RIDGE = 1e-9  # share of the mean squared length of rows that is added to it, for rows that depend on one another
SMALL = 2**27  # multiplications below which one thread is faster: several wait for each other at every product


class Logistic(Solver):
    grid = (1.0, 0.1, 0.01, 0.001)
    probabilistic = True

    def solve(self, table: Table, setting: float, seed: int) -> Head:
        weight, bias = minimum(table.x, table.y, table.num_classes, (setting,), gradient=1e-6)
        return linear_head(table, weight[0], bias[0])

    def logits(self, table: Table, held_out: np.ndarray, settings: tuple[float, ...], seed: int) -> list[np.ndarray]:
        weight, bias = minimum(table.x, table.y, table.num_classes, settings, gradient=1e-4)
        return [held_out @ w.T + b for w, b in zip(weight, bias, strict=True)]


def minimum(
    rows: np.ndarray, labels: np.ndarray, num_classes: int, penalties: tuple[float, ...], *,
    weights: np.ndarray | None = None, gradient: float = 1e-6, most: int = 200,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Weights (penalties, classes, dim) and biases (penalties, classes) at the minimum for every penalty.

    Args:
        rows: (n, dim) float32.
        labels: (n,) class numbers.
        penalties: the strongest first.
        weights: (n,) of the rows, any scale.
        gradient: its largest part at which to stop.
        most: steps for each penalty.
    """
    weight, bias = zip(*path(rows, labels, num_classes, penalties, weights=weights, gradient=gradient, most=most), strict=True)
    return np.stack(weight), np.stack(bias)


def path(
    rows: np.ndarray, labels: np.ndarray, num_classes: int, penalties: tuple[float, ...], *,
    weights: np.ndarray | None = None, offset: np.ndarray | float = 0.0, gradient: float = 1e-6, most: int = 200,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The same one penalty after the other, (classes, dim) and (classes,), for whoever may not want all of them.

    Args:
        offset: (n, classes) added to the logits: what another classifier says, which this one then corrects.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize

    rows = np.asarray(rows, np.float32)
    blocks, lower, original = _blocks(rows), None, rows
    if len(rows) < rows.shape[1] and sum(part.size for _, part in blocks) > len(rows) ** 2:
        lower = _lower(blocks)
        rows = lower.astype(np.float32)
        blocks = [(np.arange(rows.shape[1]), rows)]
    dim = rows.shape[1]
    share = np.full(len(rows), 1 / len(rows)) if weights is None else weights / weights.sum()
    place, size = np.arange(len(rows)), num_classes * dim

    def loss(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        single = flat[:size].reshape(num_classes, dim).T.astype(np.float32)  # (dim, classes)
        logits = sum(part @ single[columns] for columns, part in blocks).astype(np.float64) + flat[size:] + offset
        logits -= logits.max(1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(1)
        value = share @ (np.log(total) - logits[place, labels]) + penalty / 2 * (flat[:size] @ flat[:size])
        error = odds / total[:, None]  # (n, classes): probability less truth, times the share of the row
        error[place, labels] -= 1
        error *= share[:, None]
        slope = np.empty_like(flat)
        for columns, part in blocks:
            slope[:size].reshape(num_classes, dim)[:, columns] = (part.T @ error.astype(np.float32)).T
        slope[:size] += penalty * flat[:size]
        slope[size:] = error.sum(0)
        return float(value), slope

    flat = np.zeros(size + num_classes)
    ends = {"maxiter": most, "gtol": gradient, "ftol": 1e-4 * gradient}
    for penalty in penalties:
        with _threads(rows.size * num_classes):
            flat = minimize(loss, flat, (penalty,), "L-BFGS-B", jac=True, options=ends).x
            weight = flat[:size].reshape(num_classes, dim).astype(np.float32)
            if lower is not None:
                weight = solve_triangular(lower, weight.T, lower=True, trans=1).T.astype(np.float32) @ original
        yield weight, flat[size:].astype(np.float32)


def _lower(blocks: list[tuple[np.ndarray, Any]]) -> np.ndarray:
    """Fewer rows than features: the triangle L (n, n) with L L' = X X', rows that take the place of X.

    The best weights lie in the span of the rows, since the penalty charges for anything beyond it: they are X' L'^(-1) u,
    as long as u, so the answer is the same, and the search for u has n unknowns a class instead of dim.
    """
    from scipy.linalg import cholesky

    doubles = (part.astype(np.float64) for _, part in blocks)
    gram: Any = sum(part @ part.T if isinstance(part, np.ndarray) else (part @ part.T).toarray() for part in doubles)
    gram[np.diag_indices(len(gram))] += RIDGE * max(np.trace(gram) / len(gram), 1e-30)
    return np.asarray(cholesky(gram, lower=True, overwrite_a=True, check_finite=False))


def _blocks(rows: np.ndarray) -> list[tuple[np.ndarray, Any]]:
    """Column numbers and these columns, the nearly empty ones (counts of rare words) as a sparse matrix of their own."""
    from scipy.sparse import csr_array

    empty = np.count_nonzero(rows, 0) < EMPTY * len(rows)
    if empty.mean() < SPARSE:
        return [(np.arange(rows.shape[1]), np.ascontiguousarray(rows))]
    found: list[tuple[np.ndarray, Any]] = [(np.flatnonzero(empty), csr_array(rows[:, empty]))]
    return found if empty.all() else [*found, (np.flatnonzero(~empty), np.ascontiguousarray(rows[:, ~empty]))]


def _threads(multiplications: int) -> AbstractContextManager[Any]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1) if multiplications < SMALL else nullcontext()
