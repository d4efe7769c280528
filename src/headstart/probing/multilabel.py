"""Multi-label: one logistic regression a label, its penalty chosen for every label by cross-validation.

minimise  mean cross-entropy + lambda / 2 * |weight|^2   for each label against the rest

All labels and penalties are solved at once by one L-BFGS: the products with the features, which dominate, are shared.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from headstart import solvers
from headstart.metrics.multilabel import average_precision
from headstart.probing import Fitted, Options
from headstart.tasks import Task

HEADS = ("logistic",)
GRID = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)  # the strongest first


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    head = task.head(vectors.shape[1])
    table = solvers.standardised(vectors, labels, labels.shape[1])
    folds = solvers.fold_numbers(_codes(labels), options.seed, options.groups) if len(labels) > 3 else None
    held_out = np.zeros((len(GRID), *labels.shape))
    for fold in np.unique(folds) if folds is not None else ():
        inside, outside = folds != fold, folds == fold
        weight, bias = minimum(table.x[inside], labels[inside], GRID, tolerance=1e-3)
        held_out[:, outside] = np.einsum("nd,skd->snk", table.x[outside], weight) + bias[:, None]
    losses = np.array([_losses(logits, labels) for logits in held_out])
    best = losses.argmin(0) if folds is not None else np.full(labels.shape[1], len(GRID) // 2)
    outputs = np.arange(labels.shape[1])
    weight, bias = minimum(table.x, labels, GRID, tolerance=1e-4)
    folded = weight[best, outputs] / table.scale
    with torch.no_grad():
        linear: torch.nn.Linear = head.linear  # type: ignore[assignment]
        linear.weight.copy_(torch.from_numpy(folded))
        linear.bias.copy_(torch.from_numpy(bias[best, outputs] - folded @ table.mean))
    chosen = held_out[best, :, outputs].T
    areas = [area for i in outputs if np.isfinite(area := average_precision(chosen[:, i], labels[:, i]))]
    said = f"cross-validated mean average precision {np.mean(areas) if areas else float('nan'):.3f}"
    settings = ", ".join(f"{setting:g}" for setting in np.unique(np.array(GRID)[best]))
    return Fitted(head, "logistic", f"one logistic head a label, {said} at {settings}")


def minimum(
    x: np.ndarray, y: np.ndarray, settings: tuple[float, ...], tolerance: float, most: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (settings, k, dim) and biases (settings, k) at the minimum for every setting; NaN labels do not count."""
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    s, k, d = len(settings), y.shape[1], x.shape[1]
    present = torch.isfinite(labels).float()
    wanted = torch.nan_to_num(labels).float()
    share = (present / present.sum(0).clamp(min=1)).unsqueeze(1)  # (n, 1, k): each label's mean over what is known
    weight, bias = torch.zeros(s, k, d, requires_grad=True), torch.zeros(s, k, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=most, tolerance_grad=tolerance * 0.01, tolerance_change=1e-9,
        history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip
    penalty = torch.tensor(settings).view(s, 1, 1)
    target = wanted.unsqueeze(1).expand(-1, s, -1)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (features @ weight.view(s * k, d).T).view(-1, s, k) + bias
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        # a label without a single sample has no minimum; the bias is held by as good as nothing
        loss = (each * share).sum() + (penalty / 2 * weight.square()).sum() + 1e-5 * bias.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach().double().numpy(), bias.detach().double().numpy()


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(k,) mean cross-entropy of each label where it is known."""
    sign = np.where(labels == 1, -1.0, 1.0)
    each = np.where(np.isfinite(labels), np.logaddexp(0, sign * logits), 0)
    return np.asarray(each.sum(0) / np.maximum(1, np.isfinite(labels).sum(0)))


def _codes(labels: np.ndarray) -> np.ndarray:
    """(n,) the rarest label of each sample, for stratified folds; those with fewer than 2 samples are one stratum."""
    has = labels == 1
    codes = np.where(has.any(1), np.where(has, has.sum(0), len(labels) + 1).argmin(1), labels.shape[1])
    names, numbers, counts = np.unique(codes, return_inverse=True, return_counts=True)
    small = (counts < 2)[numbers]
    if small.sum() == 1:
        codes[small] = names[counts.argmax()]
    elif small.any():
        codes[small] = labels.shape[1] + 1
    return np.asarray(np.unique(codes, return_inverse=True)[1])
