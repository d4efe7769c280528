"""Mixup: every sample is blended with another one of the batch.

Zhang, Cisse, Dauphin and Lopez-Paz 2018, mixup: Beyond Empirical Risk Minimization, arXiv 1710.09412; reference code
facebookresearch/mixup-cifar10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.mixing import Mixing, checked


@dataclass(frozen=True)
class Mixup(Mixing):
    """``alpha``: the share of the first sample is drawn from Beta(alpha, alpha); small values hardly blend."""

    alpha: float = 0.2

    def __post_init__(self) -> None:
        checked("mixup", self.alpha)

    def mix(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        share = float(rng.beta(self.alpha, self.alpha))
        other = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
        return inputs[other].lerp(inputs, share), labels[other].lerp(labels, share)
