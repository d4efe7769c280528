"""Left and right swapped; not for pictures in which a side means something (digits, letters, one-sided findings).

Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value


@dataclass(frozen=True)
class Flip(Augmentation):
    """Left and right swapped, with the probability ``chance``.

    The result is a view of the picture.
    """

    chance: float = 0.5
    order: ClassVar[int] = 20
    usual: ClassVar[bool] = True
    paper: ClassVar[str] = "Krizhevsky et al. 2012, section 4.1"

    def __post_init__(self) -> None:
        within(self, chance=(0, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        picture = np.asarray(value)
        return picture[:, ::-1] if rng.random() < self.chance else picture
