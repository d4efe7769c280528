"""L2-SP: the weights are drawn to where they started, the head to zero.

Li, Grandvalet and Davoine 2018, Explicit Inductive Bias for Transfer Learning with Convolutional Networks,
arXiv 1802.01483, equation 3 and the weights of its section 5.1; reference code holyseven/TransferLearningClassification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from headstart.penalties import Penalty, checked


@dataclass(frozen=True)
class L2SP(Penalty):
    """``weight / 2 |w - w0|^2 + head / 2 |v|^2`` for the weights w of the backbone and v of the head."""

    weight: float = 0.1
    head: float = 0.01
    replaces_decay: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked("l2_sp", self.weight, self.head)

    def start(self, backbone: Sequence[nn.Parameter], head: Sequence[nn.Parameter]) -> Callable[[], Tensor]:
        origin = [parameter.detach().clone() for parameter in backbone]

        def penalty() -> Tensor:
            drift = [(now - then).square().sum() for now, then in zip(backbone, origin, strict=True)]
            size = [parameter.square().sum() for parameter in head]
            return 0.5 * (self.weight * torch.stack(drift).sum() + self.head * torch.stack(size).sum())

        return penalty
