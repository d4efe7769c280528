"""A random piece of a long recording, so that training holds no hours in memory.

Random excerpts of a fixed length are how sound networks are usually trained, for example Hershey et al. 2017, CNN
Architectures for Large-Scale Audio Classification, arXiv 1609.09430.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Sound, Value


@dataclass(frozen=True)
class Crop(Augmentation):
    """A random piece of ``seconds`` out of a recording that is longer; shorter ones stay whole.

    Only training sees pieces: what is validated or predicted is heard to its end. Where the class shows in one moment of
    a long recording only, a piece may miss it: choose a longer one, or cut the recordings at what they are labelled for.
    """

    seconds: float = 15.0
    order: ClassVar[int] = 5
    usual: ClassVar[bool] = True
    bounds: ClassVar[bool] = True
    paper: ClassVar[str] = "Hershey et al. 2017, arXiv 1609.09430"

    def __post_init__(self) -> None:
        within(self, seconds=(0.1, 14_400))

    def apply(self, value: Value, rng: np.random.Generator) -> Sound:
        assert isinstance(value, Sound)
        size = round(self.seconds * value.rate)
        if len(value.samples) <= size:  # draws nothing, so what short recordings become does not depend on this
            return value
        start = int(rng.integers(len(value.samples) - size + 1))
        return Sound(value.samples[start : start + size], value.rate)
