"""Self-training: predictions on the target that are sure enough become its labels, while training goes on.

Lee: Pseudo-Label, ICML 2013 workshop on Challenges in Representation Learning; the threshold as in Sohn et al.: FixMatch,
NeurIPS 2020, arXiv 2001.07685, equation 4: on inputs what is said of a sample as it is becomes the label of its augmented view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from headstart.approaches._aligned import Aligned, Alignment, View, own_labels


@dataclass(frozen=True)
class SelfTrain(Aligned):
    """Args:
    threshold: least probability of a label that is trusted.
    Others as in ``Aligned``.
    """

    threshold: float = 0.9
    moves_logits: ClassVar[bool] = True
    labels_itself: ClassVar[bool] = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return OwnLabels(self.threshold)


class OwnLabels(Alignment):
    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, source: View, target: View, strength: float) -> Tensor:
        return strength * own_labels(target, self.threshold)
