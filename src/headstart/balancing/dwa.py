"""Dynamic weight averaging: tasks whose loss falls slowly count more.

Liu, Johns and Davison 2019, arXiv 1803.10704, equation 7: the weights of an epoch are T * softmax(r / temperature), where
r_t is the mean loss of the last epoch divided by that of the one before; 1 in the first two epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.balancing import Balancing


@dataclass(frozen=True)
class DynamicAverage(Balancing):
    """Args:
    temperature: the higher, the more equal the weights.
    """

    temperature: float = 2.0
    gradients = False

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """steps an epoch, steps done in this one, epochs done; then (T,) each: the sums of this epoch, the last two means."""
        return torch.tensor([float(steps), 0.0, 0.0, *[0.0] * 3 * num_tasks], dtype=torch.float64)

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        head, (now, last, before) = state[:3].clone(), state[3:].reshape(3, -1).clone()
        if head[1] >= head[0]:  # an epoch is over
            now, last, before = torch.zeros_like(now), now / head[0], last
            head[1], head[2] = 0, head[2] + 1
        weights = torch.ones_like(losses)
        if head[2] >= 2:
            weights = len(losses) * torch.softmax(last / before.clamp(min=1e-12) / self.temperature, 0)
        head[1] += 1
        return weights, torch.cat([head, now + losses, last, before])
