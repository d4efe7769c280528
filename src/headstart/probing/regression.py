"""Regression: ridge regression, its penalty chosen for every output by cross-validation.

minimise  mean squared error + lambda * |weight|^2   on standardised features and targets

Hoerl and Kennard 1970, Technometrics 12(1). All penalties share one singular value decomposition a fold.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart import solvers
from headstart.metrics.regression import r2
from headstart.probing import Fitted, Options
from headstart.tasks import Task

HEADS = ("ridge",)
GRID = tuple(float(value) for value in 10.0 ** np.arange(2.0, -6.01, -0.5))  # the strongest first
BINS = 5  # of the target, over which folds are stratified


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    head = task.head(vectors.shape[1])
    mean, scale = (getattr(head, name).double().numpy() for name in ("mean", "scale"))
    targets = (labels - mean) / scale
    present = np.isfinite(targets)
    weight, bias = np.zeros((targets.shape[1], vectors.shape[1])), np.zeros(targets.shape[1])
    held_out, settings = np.full(targets.shape, np.nan), np.zeros(targets.shape[1])
    patterns = np.unique(present, axis=1, return_inverse=True)[1].ravel()
    for pattern in np.unique(patterns):  # outputs that are known of the same samples are fitted together
        places = np.flatnonzero(patterns == pattern)
        rows = np.flatnonzero(present[:, places[0]])
        groups = None if options.groups is None else [options.groups[int(row)] for row in rows]
        found = _ridge(vectors[rows], targets[np.ix_(rows, places)], options.seed, groups)
        weight[places], bias[places], settings[places], held_out[np.ix_(rows, places)] = found
    with torch.no_grad():
        linear: torch.nn.Linear = head.linear  # type: ignore[assignment]
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    score = r2(np.where(np.isfinite(held_out), held_out, 0), targets)
    chosen = ", ".join(f"{setting:.3g}" for setting in np.unique(settings))
    return Fitted(head, "ridge", f"ridge head, cross-validated R2 {score:.3f} at {chosen}")


def _ridge(
    vectors: np.ndarray, targets: np.ndarray, seed: int, groups: list[str] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights (k, dim) and biases (k,) on raw features, penalties (k,), and the predictions of held-out folds (n, k)."""
    folds = _folds(targets, seed, groups)
    errors = np.zeros((len(GRID), targets.shape[1]))
    held_out = np.zeros((len(GRID), *targets.shape))
    table = solvers.standardised(vectors, targets, targets.shape[1])
    for fold in np.unique(folds) if folds is not None else ():
        inside, outside = folds != fold, folds == fold
        some, shift = _solutions(table.x[inside].astype(float), targets[inside], GRID)
        held_out[:, outside] = np.einsum("nd,skd->snk", table.x[outside], some) + shift[:, None]
        errors += np.square(held_out[:, outside] - targets[outside]).sum(1)
    best = errors.argmin(0) if folds is not None else np.full(targets.shape[1], len(GRID) // 2)
    weight, bias = _solutions(table.x.astype(float), targets, GRID)
    outputs = np.arange(targets.shape[1])
    folded = weight[best, outputs] / table.scale
    return (folded, bias[best, outputs] - folded @ table.mean, np.array(GRID)[best],
            held_out[best, :, outputs].T)  # fmt: skip


def _solutions(x: np.ndarray, y: np.ndarray, grid: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (settings, k, dim) and biases (settings, k)."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    projected = u.T @ (y - y_mean)  # (rank, k)
    weight = np.stack([((s / (s**2 + setting * len(x)))[:, None] * projected).T @ vt for setting in grid])
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
