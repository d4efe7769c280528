"""A recording louder or softer.

Schlüter and Grill 2015, Exploring Data Augmentation for Improved Singing Voice Detection with Neural Networks, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Sound, Value


@dataclass(frozen=True)
class Gain(Augmentation):
    """Up to ``decibels`` louder or softer; nothing is clipped."""

    decibels: float = 6.0
    order: ClassVar[int] = 30
    usual: ClassVar[bool] = True
    paper: ClassVar[str] = "Schlüter and Grill 2015"

    def __post_init__(self) -> None:
        within(self, decibels=(0, 60))

    def apply(self, value: Value, rng: np.random.Generator) -> Sound:
        assert isinstance(value, Sound)
        factor = np.float32(10 ** (rng.uniform(-self.decibels, self.decibels) / 20))
        return Sound(value.samples * factor, value.rate)
