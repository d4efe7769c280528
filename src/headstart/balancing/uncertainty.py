"""Uncertainty weighting: each task's noise is learned, and a noisy task counts less.

Kendall, Gal and Cipolla 2018, arXiv 1705.07115: minimise sum_t exp(-s_t) L_t / 2 + s_t / 2 over s_t = log sigma_t^2, too,
here by gradient descent on s beside the optimiser of the network. At rest exp(-s_t) is 1 / L_t.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.balancing import Balancing


@dataclass(frozen=True)
class Uncertainty(Balancing):
    """Args:
    rate: of the learned log-variances.
    """

    rate: float = 0.025
    gradients = False

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        return torch.zeros(num_tasks, dtype=torch.float64)

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.exp(-state)
        slope = (1 - weights * losses) / 2
        return weights, (state - self.rate * slope).clamp(-8, 8)
