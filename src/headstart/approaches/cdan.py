"""CDAN: as DANN, but the discriminator also sees which class the classifier thinks of.

Long, Cao, Wang, Jordan: Conditional Adversarial Domain Adaptation, NeurIPS 2018, arXiv 1705.10667, equations 7 and 10;
reference code thuml/CDAN.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.approaches._aligned import Aligned, Alignment, View

MOST = 4096  # products of features and probabilities; beyond, a random map of them, as in the paper


@dataclass(frozen=True)
class Cdan(Aligned):
    """Args:
    width: of the discriminator's hidden layer.
    sure: samples count by how sure their prediction is (CDAN+E).
    Others as in ``Aligned``.
    """

    width: int = 128
    sure: bool = True

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return Conditional(dim, num_classes, self.width, self.sure)


class Conditional(Alignment):
    of_features: Tensor
    of_classes: Tensor

    def __init__(self, dim: int, num_classes: int, width: int, sure: bool) -> None:
        super().__init__()
        self.sure = sure
        self.random = dim * num_classes > MOST
        size = min(dim * num_classes, MOST)
        if self.random:
            self.register_buffer("of_features", torch.randn(dim, size))
            self.register_buffer("of_classes", torch.randn(num_classes, size))
        self.discriminator = nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, source: View, target: View, strength: float) -> Tensor:
        probabilities = torch.cat([source.logits, target.logits]).float().softmax(1).detach()
        features = torch.cat([source.features, target.features])
        features = -strength * features + (1 + strength) * features.detach()  # the gradient comes back reversed
        said = self.discriminator(self._joint(features.float(), probabilities)).squeeze(1)
        truth = torch.cat([torch.zeros(len(source.logits)), torch.ones(len(target.logits))]).to(said)
        each = functional.binary_cross_entropy_with_logits(said.float(), truth.float(), reduction="none")
        if not self.sure:
            return each.mean()
        weight = 1 + torch.exp((probabilities * (probabilities + 1e-8).log()).sum(1))  # 1 + exp(-entropy)
        num = len(source.logits)
        parts = [(each[rows] * weight[rows] / weight[rows].sum()).sum() for rows in (slice(num), slice(num, None))]
        return (parts[0] + parts[1]) / 2

    def _joint(self, features: Tensor, probabilities: Tensor) -> Tensor:
        if self.random:
            scale = self.of_features.shape[1] ** 0.5
            return (features @ self.of_features) * (probabilities @ self.of_classes) / scale
        return (probabilities.unsqueeze(2) * features.unsqueeze(1)).flatten(1)
