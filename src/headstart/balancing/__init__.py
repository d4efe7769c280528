"""How the losses of several tasks become one direction. One file is one way; its first lines name the paper.

Every way comes down to weights (T,): the shared parameters move along ``sum_t weight_t * gradient_t``. Those that look at
gradients need no more of them than their products, the Gram matrix (T, T), in which projections and norms can be written.
The heads move along the gradient of their own loss, unweighted.

They are values: what a way remembers (averages, learned weights) is a state that goes in and comes out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from headstart import plugins


class Balancing(ABC):
    """A frozen dataclass of settings."""

    gradients: bool  # whether ``weigh`` needs the Gram matrix

    @abstractmethod
    def begin(self, num_tasks: int, steps: int) -> Tensor:
        """The state before the first of ``steps`` steps an epoch; a 1-dimensional tensor."""

    @abstractmethod
    def weigh(self, losses: Tensor, gram: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (T,) and the next state, from the losses (T,) and the products (T, T) of their gradients, float64."""


def named(text: str) -> Balancing:
    """ "fixed", "fixed:1+0.5", "pcgrad", "cagrad:0.4", ...

    Raises:
        ConfigError: there is no such way.
    """
    found: Balancing = plugins.spelled("balancing", text, Balancing, "$.approach.balance")
    return found


def cosines(gram: Tensor) -> Tensor:
    """(T, T) cosines of the angles between gradients; 0 where one has no length."""
    length = gram.diagonal().clamp(min=0).sqrt()
    return gram / (length[:, None] * length[None, :]).clamp(min=1e-30)


def nothing() -> Tensor:
    """The state of a way that remembers nothing."""
    return torch.zeros(0, dtype=torch.float64)
