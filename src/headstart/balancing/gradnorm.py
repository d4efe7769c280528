"""GradNorm: weights are learned so that gradients are alike in size, and those of slow tasks larger.

Chen et al. 2018, arXiv 1711.02257: minimise sum_t |w_t |g_t| - mean_j(w_j |g_j|) * r_t^alpha| over the weights, the
target held fixed; r_t is the loss of a task as a share of its first one, divided by the mean of these. The weights are
scaled to sum to T after every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.balancing import Balancing


@dataclass(frozen=True)
class GradNorm(Balancing):
    """Args:
    alpha: how strongly slow tasks are favoured.
    rate: of the weights.
    """

    alpha: float = 1.5
    rate: float = 0.025
    gradients = True

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """(T,) weights, then (T,) first losses, 0 before the first step."""
        return torch.cat([torch.ones(num_tasks), torch.zeros(num_tasks)]).double()

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        assert gram is not None
        weights, first = state.reshape(2, -1)
        first = torch.where(first > 0, first, losses.clamp(min=1e-12))
        sizes = gram.diagonal().clamp(min=0).sqrt()
        share = losses / first
        target = (weights * sizes).mean() * (share / share.mean().clamp(min=1e-12)) ** self.alpha
        # the slope's size depends on the scale of the gradients, so it is taken relative to their mean
        slope = torch.sign(weights * sizes - target) * sizes / sizes.mean().clamp(min=1e-12)
        moved = (weights - self.rate * slope).clamp(min=1e-2)
        return weights, torch.cat([moved * len(losses) / moved.sum(), first])
