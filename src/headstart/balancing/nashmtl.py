"""Nash-MTL: the direction is the bargain of the tasks, in which a scaled loss gains nothing.

Navon et al. 2022, arXiv 2202.01017: weights a > 0 with gram @ a = 1 / a (equation 5). They minimise the strictly convex
a . gram . a / 2 - sum_t log a_t, which is solved here by Newton's method, for gradients of length 1; the authors approximate
it by a sequence of convex programs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.balancing import Balancing, nothing


@dataclass(frozen=True)
class NashMTL(Balancing):
    """Args:
    largest: norm of the direction, beyond which it is cut.
    """

    largest: float = 1.0
    gradients = True

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        return nothing()

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        assert gram is not None
        products = gram.numpy()
        weights = bargain(products)
        length = np.sqrt(max(float(weights @ products @ weights), 0.0))
        return torch.from_numpy(weights * min(1.0, self.largest / max(length, 1e-30))), state


def bargain(gram: np.ndarray, steps: int = 100) -> np.ndarray:
    """(T,) a > 0 with gram @ a = 1 / a; a small ridge keeps it finite where gradients are opposed.

    The lengths of the gradients only scale the answer. It is sought from the best even mixture on, which for two tasks
    is the answer.
    """
    lengths = np.sqrt(np.maximum(gram.diagonal(), 1e-30))
    cosines = gram / np.outer(lengths, lengths) + 1e-8 * np.eye(len(gram))
    a = np.full(len(gram), np.sqrt(len(gram) / max(float(cosines.sum()), 2e-8)))
    for _ in range(steps):  # the logarithms make it self-concordant: damped like this, Newton needs no line search
        slope = cosines @ a - 1 / a
        step = np.linalg.solve(cosines + np.diag(1 / a**2), slope)
        size = np.sqrt(max(float(slope @ step), 0.0))
        if size < 1e-7:
            break
        a = a - step / (1 + size if size > 0.25 else 1)
    return a / lengths
