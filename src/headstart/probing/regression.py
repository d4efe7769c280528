"""Regression: ridge regression or the lasso, and its penalty, chosen for every output by cross-validation.

minimise  mean squared error + lambda * |weight|^2   (ridge)   or   mean squared error / 2 + lambda * |weight|_1   (lasso)

on standardised features and targets. Where few columns matter, as in tables, the lasso is the better one; of a wide table of
features it takes long and is seldom better, so there it is not tried unless asked for.

Hoerl and Kennard 1970, Technometrics 12(1); Tibshirani 1996, JRSS B 58(1). All penalties of ridge regression share one
singular value decomposition a fold; the lasso's path is scikit-learn's coordinate descent.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from headstart import solvers
from headstart.metrics.regression import r2
from headstart.probing import Fitted, Options
from headstart.tasks import Task

BINS = 5  # of the target, over which folds are stratified
MOST_PASSES = 10_000  # over the columns, for one penalty of the lasso
NARROW = 100  # features up to which "linear" tries the lasso


def ridge(x: np.ndarray, y: np.ndarray, penalties: tuple[float, ...]) -> np.ndarray:
    """Weights (penalties, k, dim) for centred rows (n, dim) and targets (n, k)."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    projected = u.T @ y  # (rank, k)
    return np.stack([((s / (s**2 + penalty * len(x)))[:, None] * projected).T @ vt for penalty in penalties])


def lasso(x: np.ndarray, y: np.ndarray, penalties: tuple[float, ...]) -> np.ndarray:
    """Weights (penalties, k, dim) for centred rows (n, dim) and targets (n, k)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lasso_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of weak penalties on columns that are nearly alike: near enough
        return np.stack([lasso_path(x, column, alphas=list(penalties), max_iter=MOST_PASSES)[1].T for column in y.T], 1)


@dataclass(frozen=True)
class Way:
    """``weights`` of a head for each of its ``penalties``, the strongest first."""

    weights: Callable[[np.ndarray, np.ndarray, tuple[float, ...]], np.ndarray]
    penalties: tuple[float, ...]


WAYS = {
    "ridge": Way(ridge, tuple(float(value) for value in 10.0 ** np.arange(2.0, -6.01, -0.5))),
    "lasso": Way(lasso, tuple(float(value) for value in 10.0 ** np.arange(0.0, -3.51, -0.125))),
}
DISTINCT = tuple(WAYS)
HEADS = ("linear", *DISTINCT)  # linear: the better one in cross-validation


@dataclass(frozen=True)
class Chosen:
    """For k outputs: weights (k, dim) and biases (k,) on raw features, penalties (k,), the answers of held-out folds (n, k),
    NaN without any, and their mean squared error (k,)."""

    weight: np.ndarray
    bias: np.ndarray
    penalty: np.ndarray
    held_out: np.ndarray
    error: np.ndarray


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    head = task.head(vectors.shape[1])
    mean, scale = (getattr(head, name).double().numpy() for name in ("mean", "scale"))
    targets = (labels - mean) / scale
    present = np.isfinite(targets)
    weight, bias = np.zeros((targets.shape[1], vectors.shape[1])), np.zeros(targets.shape[1])
    held_out, penalties = np.full(targets.shape, np.nan), np.zeros(targets.shape[1])
    names = np.full(targets.shape[1], "", dtype=object)
    patterns = np.unique(present, axis=1, return_inverse=True)[1].ravel()
    for pattern in np.unique(patterns):  # outputs that are known of the same samples are fitted together
        places = np.flatnonzero(patterns == pattern)
        rows = np.flatnonzero(present[:, places[0]])
        groups = None if options.groups is None else [options.groups[int(row)] for row in rows]
        folds = _folds(targets[np.ix_(rows, places)], options.seed, groups)
        found = {name: _fitted(WAYS[name], vectors[rows], targets[np.ix_(rows, places)], folds)
                 for name in _ways(options.head, vectors.shape[1])}  # fmt: skip
        for i, place in enumerate(places):
            best = min(found, key=lambda name: found[name].error[i])
            one, names[place] = found[best], best
            weight[place], bias[place], penalties[place] = one.weight[i], one.bias[i], one.penalty[i]
            held_out[rows, place] = one.held_out[:, i]
    with torch.no_grad():
        linear: torch.nn.Linear = head.linear  # type: ignore[assignment]
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    name = " and ".join(kinds := sorted(set(names)))
    chosen = "; ".join((f"{kind} " if len(kinds) > 1 else "") + ", ".join(f"{each:.3g}" for each in np.unique(penalties[names == kind]))
                       for kind in kinds)  # fmt: skip
    judged = np.isfinite(held_out).any(0)  # outputs that were cross-validated
    if not judged.any():
        return Fitted(head, name, f"{name} head at {chosen}, the middle of its grid: too few samples for cross-validation")
    score = r2(np.where(np.isfinite(held_out), held_out, 0)[:, judged], targets[:, judged])
    left = "" if judged.all() else "; of some outputs there are too few samples for cross-validation"
    return Fitted(head, name, f"{name} head, cross-validated R2 {score:.3f} at {chosen}{left}")


def _ways(head: str, dim: int) -> tuple[str, ...]:
    if head in WAYS:
        return (head,)
    return DISTINCT if dim <= NARROW else ("ridge",)


def _fitted(way: Way, vectors: np.ndarray, targets: np.ndarray, folds: np.ndarray | None) -> Chosen:
    held_out = np.full((len(way.penalties), *targets.shape), np.nan)
    table = solvers.standardised(vectors, targets, targets.shape[1])
    for fold in np.unique(folds) if folds is not None else ():
        inside, outside = folds != fold, folds == fold
        weight, bias = _solutions(way, table.x[inside], targets[inside])
        held_out[:, outside] = np.einsum("nd,skd->snk", table.x[outside], weight) + bias[:, None]
    outputs = np.arange(targets.shape[1])
    errors = np.square(held_out - targets).mean(1)
    best = errors.argmin(0) if folds is not None else np.full(len(outputs), len(way.penalties) // 2)
    weight, bias = _solutions(way, table.x, targets)
    folded = weight[best, outputs] / table.scale
    return Chosen(folded, bias[best, outputs] - folded @ table.mean, np.array(way.penalties)[best],
                  held_out[best, :, outputs].T, errors[best, outputs])  # fmt: skip


def _solutions(way: Way, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (penalties, k, dim) and biases (penalties, k)."""
    x = x.astype(float)
    x_mean, y_mean = x.mean(0), y.mean(0)
    weight = way.weights(x - x_mean, y - y_mean, way.penalties)
    return weight, y_mean - weight @ x_mean


def _folds(targets: np.ndarray, seed: int, groups: list[str] | None) -> np.ndarray | None:
    """(n,) fold numbers; None where there are too few samples to hold any out."""
    if len(targets) < 4:
        return None
    first = targets[:, 0]
    bins = max(1, min(BINS, len(first) // (2 * solvers.FOLDS)))
    codes = np.searchsorted(np.quantile(first, np.linspace(0, 1, bins + 1)[1:-1]), first, side="right")
    if np.unique(codes, return_counts=True)[1].min() < 2:
        codes = np.zeros(len(first), int)
    return solvers.fold_numbers(codes, seed, groups)
