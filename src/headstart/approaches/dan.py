"""DAN: the mean embeddings of the domains are drawn together under several kernels at once (MK-MMD).

Long, Cao, Wang, Jordan: Learning Transferable Features with Deep Adaptation Networks, ICML 2015, arXiv 1502.02791,
equations 1-5; the kernels weigh the same, as in the authors' later code thuml/Xlearn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from headstart.approaches._aligned import Aligned, Alignment, View

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, times the mean squared distance


@dataclass(frozen=True)
class Dan(Aligned):
    """Args: as in ``Aligned``. The features and the probabilities are aligned, as the paper does with its last layers."""

    moves_logits: ClassVar[bool] = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return MeanEmbeddings()


class MeanEmbeddings(Alignment):
    def forward(self, source: View, target: View, strength: float) -> Tensor:
        features = discrepancy(source.features.float(), target.features.float())
        classes = discrepancy(source.logits.float().softmax(1), target.logits.float().softmax(1))
        return strength * (features + classes)


def discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """Squared MMD of two batches (n, dim) and (m, dim) with the mean of five Gaussian kernels; pairs of a row with
    itself are left out."""
    rows = torch.cat([source, target])
    distances = torch.cdist(rows, rows).square()
    n, m = len(source), len(target)
    width = (distances.sum() / max(1, (n + m) * (n + m - 1))).detach().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-distances / (factor * width)) for factor in WIDTHS]).mean(0)
    own = torch.ones(n + m, device=rows.device).diag()
    within = kernel * (1 - own)
    return (
        within[:n, :n].sum() / max(1, n * (n - 1))
        + within[n:, n:].sum() / max(1, m * (m - 1))
        - 2 * kernel[:n, n:].mean()
    )
