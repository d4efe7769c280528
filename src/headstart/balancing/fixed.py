"""Fixed weights of the losses, tuned: the plain sum that the clever ways seldom beat.

Kurin et al. 2022, In Defense of the Unitary Scalarization for Deep Multi-Task Learning, arXiv 2201.04122; Xin et al.
2022, Do Current Multi-Task Optimization Methods Even Help?, arXiv 2209.11379.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.balancing import Balancing, nothing
from headstart.errors import ConfigError


@dataclass(frozen=True)
class Fixed(Balancing):
    """Args:
    weights: one a task, joined by plus signs, "1+0.5"; "" tunes them by short trainings.
    """

    weights: str = ""
    gradients = False

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """
        Raises:
            ConfigError: there are not as many weights as tasks, or one is no positive number.
        """
        if self.weights:
            try:
                found = [float(entry) for entry in self.weights.split("+")]
            except ValueError:
                found = []
            if len(found) != num_tasks or min(found, default=0.0) <= 0:
                raise ConfigError(f"$.approach.balance: fixed:{self.weights} are not {num_tasks} positive numbers, one a task, "
                                  f"such as fixed:{'+'.join(['1'] * num_tasks)}")  # fmt: skip
        return nothing()

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        if not self.weights:
            return torch.ones_like(losses), state
        return torch.tensor([float(entry) for entry in self.weights.split("+")], dtype=losses.dtype), state
