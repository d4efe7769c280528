"""Random resized crop: an area of the picture, its aspect changed a little.

Szegedy et al. 2015, Going Deeper with Convolutions, arXiv 1409.4842, section 6; as in torchvision's RandomResizedCrop,
with an area of at least a half instead of a twelfth, since small data sets are fine-tuned and not learned from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value

ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Crop(Augmentation):
    """A random part of the picture, between a share ``least`` of its area and all of it, slightly stretched.

    The result is a view of the picture.
    """

    least: float = 0.5
    order: ClassVar[int] = 10
    usual: ClassVar[bool] = True
    paper: ClassVar[str] = "Szegedy et al. 2015, arXiv 1409.4842"

    def __post_init__(self) -> None:
        within(self, least=(0.01, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        picture = np.asarray(value)
        height, width = picture.shape[:2]
        area, stretch = rng.uniform(self.least, 1), np.exp(rng.uniform(*np.log(ASPECT)))
        rows = int(np.clip(round(height * np.sqrt(area / stretch)), 1, height))
        columns = int(np.clip(round(width * np.sqrt(area * stretch)), 1, width))
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        return picture[top : top + rows, left : left + columns]
