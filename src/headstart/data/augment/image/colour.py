"""Brightness, contrast and saturation.

Howard 2013, Some Improvements on Deep Convolutional Neural Network Based Image Classification, arXiv 1312.5402; as
torchvision's ColorJitter without its hue, in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as in Pillow's convert("L")


@dataclass(frozen=True)
class Colour(Augmentation):
    """Brightness, contrast and saturation, each by a factor uniform in 1 - ``strength`` to 1 + ``strength``."""

    strength: float = 0.3
    order: ClassVar[int] = 60
    paper: ClassVar[str] = "Howard 2013, arXiv 1312.5402"

    def __post_init__(self) -> None:
        within(self, strength=(0, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        brightness, contrast, saturation = rng.uniform(1 - self.strength, 1 + self.strength, size=3)
        return recoloured(np.asarray(value), brightness, contrast, saturation)


def recoloured(picture: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """All three are affine in the colour, so they are one 3 x 3 matrix and one offset."""
    pixels = picture.astype(np.float32)
    middle = float(pixels.mean(axis=(0, 1)) @ LUMA) * brightness  # contrast turns about the mean grey
    mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA[:, None]  # greys stay where they are
    changed = pixels @ (mix * np.float32(brightness * contrast)) + np.float32((1 - contrast) * middle)
    return np.rint(changed).clip(0, 255).astype(np.uint8)
