"""L2: weights are drawn to zero in proportion to their size, as a term of the loss.

Krogh and Hertz 1991, A Simple Weight Decay Can Improve Generalization, NeurIPS 4. Unlike the decoupled decay of AdamW
(Loshchilov and Hutter 2019, arXiv 1711.05101), it is scaled by the optimiser as every gradient is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from headstart.penalties import Penalty, checked


@dataclass(frozen=True)
class L2(Penalty):
    """``weight / 2 * sum w^2`` over matrices and kernels; biases and norms are left alone."""

    weight: float = 1e-4
    replaces_decay: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked("l2", self.weight)

    def start(self, backbone: Sequence[nn.Parameter], head: Sequence[nn.Parameter]) -> Callable[[], Tensor]:
        matrices = [parameter for parameter in (*backbone, *head) if parameter.ndim > 1]
        return lambda: 0.5 * self.weight * torch.stack([entry.square().sum() for entry in matrices]).sum()
