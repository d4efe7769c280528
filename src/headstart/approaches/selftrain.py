"""Self-training: predictions on the target that are sure enough become its labels, while training goes on.

Lee: Pseudo-Label, ICML 2013 workshop on Challenges in Representation Learning; the threshold as in Sohn et al.: FixMatch,
NeurIPS 2020, arXiv 2001.07685, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from headstart.approaches._aligned import Aligned, Alignment, View


@dataclass(frozen=True)
class SelfTrain(Aligned):
    """Args:
    threshold: least probability of a label that is trusted.
    Others as in ``Aligned``.
    """

    threshold: float = 0.9
    moves_logits: ClassVar[bool] = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return OwnLabels(self.threshold)


class OwnLabels(Alignment):
    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, source: View, target: View, strength: float) -> Tensor:
        """Where a class has most of the sure samples, each of them counts less, so that an easy one cannot take over."""
        surest, guesses = target.logits.detach().float().softmax(1).max(1)
        trusted = (surest >= self.threshold).float()
        counts = functional.one_hot(guesses, target.logits.shape[1]).float().T @ trusted  # (classes,)
        even = trusted / counts[guesses].clamp(min=1)
        weight = even / even.sum().clamp(min=1e-8) * trusted.mean()
        each = functional.cross_entropy(target.logits.float(), guesses, reduction="none")
        return strength * (weight * each).sum()
