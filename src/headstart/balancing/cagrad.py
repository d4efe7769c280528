"""CAGrad: of all directions near the mean gradient, the one along which the worst task improves most.

Liu et al. 2021, arXiv 2110.14048: d = g_0 + c |g_0| / |g_w| g_w, where g_0 is the mean of the gradients and g_w = sum_t w_t
g_t minimises g_w . g_0 + c |g_0| |g_w| over w on the simplex. With c = 0 it is the plain mean. As in the authors' code d is
divided by 1 + c^2, so that steps keep their size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.balancing import Balancing, nothing
from headstart.errors import ConfigError


@dataclass(frozen=True)
class CAGrad(Balancing):
    """Args:
    c: how far from the mean gradient, 0 to less than 1.
    """

    c: float = 0.4
    gradients = True

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """
        Raises:
            ConfigError: c is out of range.
        """
        if not 0 <= self.c < 1:
            raise ConfigError(f"$.approach.balance: cagrad's c is 0 to less than 1, got {self.c:g}")
        return nothing()

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        assert gram is not None
        products = gram.numpy()
        scale = max(float(np.abs(products).max()), 1e-30)
        weights = combination(products / scale, self.c)
        # the sum of the gradients, not their mean, so that rates mean what they mean for a plain sum
        return torch.from_numpy(weights) * len(losses), state


def combination(gram: np.ndarray, c: float) -> np.ndarray:
    """(T,) coefficients of d."""
    from scipy.optimize import minimize

    number = len(gram)
    even = np.full(number, 1 / number)
    along = gram @ even  # g_t . g_0
    size = np.sqrt(max(float(even @ along), 0.0))

    def objective(w: np.ndarray) -> float:
        return float(w @ along + c * size * np.sqrt(max(float(w @ gram @ w), 0.0) + 1e-16))

    def slope(w: np.ndarray) -> np.ndarray:
        inner = gram @ w
        return np.asarray(along + c * size * inner / np.sqrt(max(float(w @ inner), 0.0) + 1e-16))

    if number == 2:  # one number: no general solver
        w = _two(gram.tolist(), along.tolist(), c * size)
    else:
        found = minimize(objective, even, jac=slope, bounds=[(0, 1)] * number, method="SLSQP",
                         constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(number)})  # fmt: skip
        w = np.clip(found.x, 0, 1)
    length = np.sqrt(max(float(w @ gram @ w), 0.0))
    return np.asarray((even + c * size / (length + 1e-8) * w) / (1 + c**2))


def _two(gram: list[list[float]], along: list[float], pull: float) -> np.ndarray:
    """The minimum over (w, 1 - w) of the convex objective, by golden section."""
    low, high, ratio = 0.0, 1.0, (5**0.5 - 1) / 2

    def at(w: float) -> float:
        v = 1 - w
        square = w * w * gram[0][0] + 2 * w * v * gram[0][1] + v * v * gram[1][1]
        return w * along[0] + v * along[1] + pull * (max(square, 0.0) + 1e-16) ** 0.5

    left, right = high - ratio * (high - low), low + ratio * (high - low)
    values = at(left), at(right)
    for _ in range(40):
        if values[0] < values[1]:
            high, right = right, left
            left = high - ratio * (high - low)
            values = at(left), values[0]
        else:
            low, left = left, right
            right = low + ratio * (high - low)
            values = values[1], at(right)
    best = min((0.0, 1.0, (low + high) / 2), key=at)
    return np.array([best, 1 - best])
