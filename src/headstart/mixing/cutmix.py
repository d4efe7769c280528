"""CutMix: a rectangle of every picture comes from another one of the batch, and the label in proportion to its area.

Yun, Han, Oh, Chun, Choe and Yoo 2019, CutMix, arXiv 1905.04899, its algorithm in appendix A; reference code
clovaai/CutMix-PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.errors import Incompatible
from headstart.mixing import Mixing, checked


@dataclass(frozen=True)
class CutMix(Mixing):
    """``alpha``: the share that stays is drawn from Beta(alpha, alpha); 1 draws all shares alike."""

    alpha: float = 1.0

    def __post_init__(self) -> None:
        checked("cutmix", self.alpha)

    def mix(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if inputs.ndim != 4:
            raise Incompatible(
                f"cutmix cuts rectangles out of pictures, (n, channels, height, width), and the inputs are of shape "
                f"{tuple(inputs.shape)}. mixup blends inputs of every shape."
            )
        height, width = inputs.shape[2:]
        side = math.sqrt(1 - rng.beta(self.alpha, self.alpha))
        middle_y, middle_x = rng.integers(height), rng.integers(width)
        top, bottom = (round(min(max(middle_y + sign * side * height / 2, 0), height)) for sign in (-1, 1))
        left, right = (round(min(max(middle_x + sign * side * width / 2, 0), width)) for sign in (-1, 1))
        other = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
        mixed = inputs.clone()
        mixed[:, :, top:bottom, left:right] = inputs[other, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (
            height * width
        )  # the rectangle may have lost a part at the border
        return mixed, labels[other].lerp(labels, share)
