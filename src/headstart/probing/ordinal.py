"""Ordinal: a cumulative-link model, its penalty chosen by cross-validation.

minimise  mean negative log-likelihood + lambda / 2 * |weight|^2   over weight and rising thresholds
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from headstart import solvers
from headstart.metrics.ordinal import median_grade
from headstart.probing import Fitted, Options
from headstart.tasks import Task
from headstart.tasks._linear import OrdinalHead, grades

HEADS = ("cumulative",)
GRID = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)  # the strongest first


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    num = len(task.outputs)
    table = solvers.standardised(vectors, labels, num)
    folds = solvers.fold_numbers(labels, options.seed, options.groups)
    best, error = len(GRID) // 2, float("nan")
    if folds is not None:
        held_out = np.empty((len(GRID), len(labels), num))
        for fold in np.unique(folds):
            inside, outside = folds != fold, folds == fold
            for place, found in enumerate(minima(table.x[inside], labels[inside], num, GRID, tolerance=1e-3)):
                held_out[place, outside] = _said(table.x[outside], *found)
        losses = -held_out[:, np.arange(len(labels)), labels].mean(1)
        best = int(losses.argmin())
        error = float(np.abs(median_grade(np.exp(held_out[best])) - labels).mean())
    weight, first, gaps = list(minima(table.x, labels, num, GRID[: best + 1], tolerance=1e-4))[-1]
    head = task.head(vectors.shape[1])
    assert isinstance(head, OrdinalHead)
    folded = weight / torch.from_numpy(table.scale)
    with torch.no_grad():
        head.linear.weight.copy_(folded)
        head.first.copy_(first + (folded @ torch.from_numpy(table.mean)).squeeze())
        head.gaps.copy_(gaps)
    said = f"cumulative head, cross-validated absolute error {error:.3f} grades at {GRID[best]:g}"
    return Fitted(head, "cumulative", said)


Solution = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def minima(x: np.ndarray, y: np.ndarray, num: int, settings: tuple[float, ...], tolerance: float) -> list[Solution]:
    """For each setting the weight (1, dim), first threshold (1,) and log gaps (k - 2,); each starts from the one before."""
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    counts = np.bincount(y, minlength=num) + 0.5
    below = (counts.cumsum() / counts.sum())[:-1]
    start = np.log(below / (1 - below))  # without features: the thresholds that give the grades' shares
    weight = torch.zeros(1, x.shape[1], requires_grad=True)
    first = torch.tensor(start[:1], dtype=torch.float32, requires_grad=True)
    gaps = torch.tensor(np.log(np.maximum(np.diff(start), 1e-3)), dtype=torch.float32, requires_grad=True)
    found = []
    for setting in settings:
        optimiser = torch.optim.LBFGS(
            [weight, first, gaps], max_iter=200, tolerance_grad=tolerance * 0.01, tolerance_change=1e-9,
            history_size=10, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure(optimiser: torch.optim.LBFGS = optimiser, setting: float = setting) -> torch.Tensor:
            optimiser.zero_grad()
            loss = functional.nll_loss(_outputs(features, weight, first, gaps), labels)
            loss = loss + setting / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        found.append((weight.detach().clone(), first.detach().clone(), gaps.detach().clone()))
    return found


def _outputs(features: torch.Tensor, weight: torch.Tensor, first: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    thresholds = torch.cat([first, first + gaps.clamp(-30, 30).exp().cumsum(0)])
    return grades(features @ weight.T, thresholds)


@torch.no_grad()
def _said(x: np.ndarray, weight: torch.Tensor, first: torch.Tensor, gaps: torch.Tensor) -> np.ndarray:
    return _outputs(torch.from_numpy(x), weight, first, gaps).double().numpy()
