"""L1: weights are drawn to zero at a constant pace, so that many become very small.

Tibshirani 1996, Regression Shrinkage and Selection via the Lasso, JRSS B 58(1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from headstart.penalties import Penalty, checked


@dataclass(frozen=True)
class L1(Penalty):
    """``weight * sum |w|`` over matrices and kernels; biases and norms are left alone."""

    weight: float = 1e-6
    replaces_decay: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checked("l1", self.weight)

    def start(self, backbone: Sequence[nn.Parameter], head: Sequence[nn.Parameter]) -> Callable[[], Tensor]:
        matrices = [parameter for parameter in (*backbone, *head) if parameter.ndim > 1]
        return lambda: self.weight * torch.stack([entry.abs().sum() for entry in matrices]).sum()
