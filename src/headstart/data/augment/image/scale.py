"""The picture nearer or farther, by torchvision's affine map.

Simard, Steinkraus and Platt 2003, Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.augment.image._geometry import warped
from headstart.data.dataset import Value


@dataclass(frozen=True)
class Scale(Augmentation):
    """Larger or smaller by a factor of up to 1 + ``most`` within the same frame; a rim is filled with the mean colour."""

    most: float = 0.2
    order: ClassVar[int] = 30
    paper: ClassVar[str] = "Simard, Steinkraus and Platt 2003"

    def __post_init__(self) -> None:
        within(self, most=(0, 4))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        limit = np.log1p(self.most)
        return warped(np.asarray(value), zoom=float(np.exp(rng.uniform(-limit, limit))))
