"""PCGrad, gradient surgery: where two gradients conflict, each loses its part along the other.

Yu et al. 2020, arXiv 2001.06782, algorithm 1. A projected gradient stays a combination of the gradients, so only its
coefficients are computed: with g = sum_k a_k g_k the product with g_j is (a @ gram)_j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.balancing import Balancing, nothing


@dataclass(frozen=True)
class PCGrad(Balancing):
    """The others are gone through in an order drawn anew in every step."""

    gradients = True

    def begin(self, num_tasks: int, steps: int) -> Tensor:
        return nothing()

    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        assert gram is not None
        products, number = gram.numpy(), len(losses)
        total = np.zeros(number)
        for task in range(number):
            own = np.eye(number)[task]
            for other in torch.randperm(number).tolist() if number > 2 else (1 - task,):
                along = float(own @ products[other])
                if other != task and along < 0 < products[other, other]:
                    own[other] -= along / products[other, other]
            total += own
        return torch.from_numpy(total), state
