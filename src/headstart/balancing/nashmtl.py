"""Nash-MTL: the direction is the bargain of the tasks, in which a scaled loss gains nothing.

Navon et al. 2022, arXiv 2202.01017: weights a > 0 with gram @ a = 1 / a (equation 5). They minimise the strictly convex
a . gram . a / 2 - sum_t log a_t, which is solved here by Newton's method; the authors approximate it by a sequence of
convex programs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.balancing import Balancing


@dataclass(frozen=True)
class NashMTL(Balancing):
    """Args:
    largest: norm of the direction, beyond which it is cut.
    """

    largest: float = 1.0
    gradients = True

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """The bargain of the step before, from which the next one is sought."""
        return torch.ones(num_tasks, dtype=torch.float64)

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        assert gram is not None
        products = gram.numpy()
        scale = max(float(np.trace(products)) / len(products), 1e-30)
        found = bargain(products / scale, state.numpy())
        weights = found / np.sqrt(scale)
        length = np.sqrt(max(float(weights @ products @ weights), 0.0))
        return torch.from_numpy(weights * min(1.0, self.largest / max(length, 1e-30))), torch.from_numpy(found)


def bargain(gram: np.ndarray, start: np.ndarray, steps: int = 50) -> np.ndarray:
    """(T,) a > 0 with gram @ a = 1 / a; a small ridge keeps it finite where gradients are opposed."""
    gram = gram + 1e-8 * np.eye(len(gram))
    a = np.maximum(start, 1e-6)

    def objective(a: np.ndarray) -> float:
        return float(a @ gram @ a / 2 - np.log(a).sum())

    for _ in range(steps):
        slope = gram @ a - 1 / a
        if np.abs(slope * a).max() < 1e-9:
            break
        step = np.linalg.solve(gram + np.diag(1 / a**2), slope)
        size, before = 1.0, objective(a)
        while size > 1e-10 and ((a - size * step).min() <= 0 or objective(a - size * step) > before - 1e-4 * size * slope @ step):
            size /= 2
        a = a - size * step
        a = np.maximum(a, 1e-12)
    return a
