"""White noise under a recording.

Sietsma and Dow 1991, Creating artificial neural networks that generalize, Neural Networks 4(1): noise on the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Sound, Value

SOFTEST = 40.0  # dB below the recording; less is not heard


@dataclass(frozen=True)
class Noise(Augmentation):
    """White noise, between ``loudest`` and 40 dB below the recording."""

    loudest: float = 15.0
    order: ClassVar[int] = 20
    paper: ClassVar[str] = "Sietsma and Dow 1991"

    def __post_init__(self) -> None:
        within(self, loudest=(0, SOFTEST))

    def apply(self, value: Value, rng: np.random.Generator) -> Sound:
        assert isinstance(value, Sound)
        samples = value.samples
        power = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
        level = np.float32(power * 10 ** (-rng.uniform(self.loudest, SOFTEST) / 20))
        return Sound(samples + level * rng.standard_normal(len(samples), dtype=np.float32), value.rate)
