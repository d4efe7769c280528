"""A recording moved in time, silence filling the gap.

Salamon and Bello 2017, Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound Classification,
arXiv 1608.04363, gives the family of waveform augmentations; a shift is the translation of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Sound, Value


@dataclass(frozen=True)
class Shift(Augmentation):
    """Moved by up to ``share`` of its length, earlier or later; silence fills the gap."""

    share: float = 0.1
    order: ClassVar[int] = 10
    usual: ClassVar[bool] = True
    paper: ClassVar[str] = "Salamon and Bello 2017, arXiv 1608.04363"

    def __post_init__(self) -> None:
        within(self, share=(0, 0.9))

    def apply(self, value: Value, rng: np.random.Generator) -> Sound:
        assert isinstance(value, Sound)
        steps = round(rng.uniform(-self.share, self.share) * len(value.samples))
        return Sound(shifted(value.samples, steps), value.rate)


def shifted(samples: np.ndarray, steps: int) -> np.ndarray:
    """``steps`` > 0: later."""
    moved = np.zeros_like(samples)
    if steps >= 0:
        moved[steps:] = samples[: len(samples) - steps]
    else:
        moved[:steps] = samples[-steps:]
    return moved
