"""DANN: features from which a discriminator cannot tell the domains apart.

Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky: Domain-Adversarial Training of Neural
Networks, JMLR 17(59), 2016, arXiv 1505.07818; reference code GRAAL-Research/domain_adversarial_neural_network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.approaches._aligned import Aligned, Alignment, View


@dataclass(frozen=True)
class Dann(Aligned):
    """Args:
    width: of the discriminator's hidden layer.
    Others as in ``Aligned``.
    """

    width: int = 128

    def alignment(self, dim: int, num_classes: int) -> Alignment:
        return Adversary(dim, self.width)


class Adversary(Alignment):
    """Which domain is it? The discriminator learns to say, and the reversed gradient teaches the features to hide it."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.discriminator = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, source: View, target: View, strength: float) -> Tensor:
        both = reverse(torch.cat([source.features, target.features]), strength)
        said = self.discriminator(both).squeeze(1)
        truth = torch.cat([torch.zeros(len(source.logits)), torch.ones(len(target.logits))]).to(said)
        return functional.binary_cross_entropy_with_logits(said.float(), truth.float())


def reverse(features: Tensor, strength: float) -> Tensor:
    """The features themselves, whose gradient comes back times -strength."""
    return -strength * features + (1 + strength) * features.detach()
