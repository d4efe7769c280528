"""Multinomial logistic regression with an L2 penalty. The setting is the penalty per sample, lambda.

minimise  mean cross-entropy + lambda / 2 * |weight|^2   (scikit-learn's C is 1 / (n * lambda))

All settings are solved at once by one L-BFGS: the products with the features, which dominate, are shared.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.solvers import Solver, Table, linear_head
from headstart.tasks import Head


class Logistic(Solver):
    grid = (1.0, 0.1, 0.01, 0.001)
    probabilistic = True

    def solve(self, table: Table, setting: float, seed: int) -> Head:
        weight, bias = minimum(table, (setting,), tolerance=1e-4)
        return linear_head(table, weight[0], bias[0])

    def logits(self, table: Table, held_out: np.ndarray, settings: tuple[float, ...], seed: int) -> list[np.ndarray]:
        weight, bias = minimum(table, settings, tolerance=1e-3)
        return [held_out @ w.T + b for w, b in zip(weight, bias, strict=True)]


def minimum(
    table: Table, settings: tuple[float, ...], tolerance: float, most: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (settings, classes, dim) and biases (settings, classes) at the minimum for every setting."""
    x, y = torch.from_numpy(table.x), torch.from_numpy(table.y)
    s, k, d = len(settings), table.num_classes, x.shape[1]
    penalty = torch.tensor(settings).view(s, 1, 1)
    weight = torch.zeros(s, k, d, requires_grad=True)
    bias = torch.zeros(s, k, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=most, tolerance_grad=tolerance * 0.01, tolerance_change=1e-9,
        history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip
    target = y.view(-1, 1).expand(-1, s)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (x @ weight.view(s * k, d).T).view(-1, s, k) + bias  # (n, settings, classes)
        loss = torch.nn.functional.cross_entropy(logits.permute(0, 2, 1), target, reduction="sum") / len(y)
        loss = loss + (penalty / 2 * weight.square()).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()
