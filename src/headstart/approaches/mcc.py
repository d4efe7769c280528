"""MCC: the classifier should not confuse classes on the target with each other.

Jin, Wang, Long, Wang: Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020, arXiv 1912.03699, equations
1-7; reference code thuml/Versatile-Domain-Adaptation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from headstart.approaches._aligned import Aligned, Alignment, View


@dataclass(frozen=True)
class Mcc(Aligned):
    """Args:
    temperature: of the probabilities whose confusion counts.
    Others as in ``Aligned``.
    """

    temperature: float = 2.5
    moves_logits: ClassVar[bool] = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return Confusion(self.temperature)


class Confusion(Alignment):
    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, source: View, target: View, strength: float) -> Tensor:
        return strength * confusion(target.logits.float() / self.temperature)


def confusion(logits: Tensor) -> Tensor:
    """Mean off-diagonal mass of the class correlation of a batch (n, classes), sure samples counting more."""
    probabilities = logits.softmax(1)
    entropy = -(probabilities * (probabilities + 1e-8).log()).sum(1).detach()
    weight = 1 + torch.exp(-entropy)
    weight = (len(weight) * weight / weight.sum()).unsqueeze(1)
    joint = (probabilities * weight).T @ probabilities
    joint = joint / joint.sum(1, keepdim=True)
    return (joint.sum() - joint.trace()) / len(joint)
