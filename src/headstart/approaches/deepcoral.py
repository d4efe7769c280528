"""Deep CORAL: the covariances of what the classifier says are drawn together, on the way to learning.

Sun, Saenko: Deep CORAL, ECCV 2016 workshops, arXiv 1607.01719, equations 1-4. The paper aligns the classifier's outputs;
here the features in front of it are aligned as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from headstart.approaches._aligned import Aligned, Alignment, View


@dataclass(frozen=True)
class DeepCoral(Aligned):
    """Args: as in ``Aligned``."""

    moves_logits: ClassVar[bool] = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return Covariances()


class Covariances(Alignment):
    def forward(self, source: View, target: View, strength: float) -> Tensor:
        features = distance(source.features.float(), target.features.float())
        return strength * (features + distance(source.logits.float(), target.logits.float()))


def distance(source: Tensor, target: Tensor) -> Tensor:
    """|C_s - C_t|^2 / (4 dim^2) of two batches (n, dim) and (m, dim), the Frobenius norm of covariances."""
    return (covariance(source) - covariance(target)).square().sum() / (4 * source.shape[1] ** 2)


def covariance(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(0)
    return centred.T @ centred / max(1, len(rows) - 1)
