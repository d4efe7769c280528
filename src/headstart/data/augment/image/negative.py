"""Light and dark swapped, every colour for its opposite; for what is seen by its outline, such as digits and signs.

"Invert" of AutoAugment: Cubuk et al. 2019, arXiv 1805.09501, table 6; as torchvision's RandomInvert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value


@dataclass(frozen=True)
class Negative(Augmentation):
    """The negative of the picture, with the probability ``chance``."""

    chance: float = 0.5
    order: ClassVar[int] = 70
    paper: ClassVar[str] = "Cubuk et al. 2019, arXiv 1805.09501"

    def __post_init__(self) -> None:
        within(self, chance=(0, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        picture = np.asarray(value)
        return 255 - picture if rng.random() < self.chance else picture
