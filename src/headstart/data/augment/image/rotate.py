"""Rotation by a small random angle, by torchvision's affine map.

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
class Rotate(Augmentation):
    """Turned by up to ``degrees`` to either side; the corners are filled with the mean colour."""

    degrees: float = 15.0
    order: ClassVar[int] = 40
    paper: ClassVar[str] = "Simard, Steinkraus and Platt 2003"

    def __post_init__(self) -> None:
        within(self, degrees=(0, 180))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        return warped(np.asarray(value), angle=rng.uniform(-self.degrees, self.degrees))
