"""RandAugment: a few changes drawn from a fixed list, all of one magnitude.

Cubuk, Zoph, Shlens and Le 2019, RandAugment, arXiv 1909.13719. The list and the ranges are those of torchvision's
RandAugment, whose own class draws from torch's global generator: two threads would take each other's numbers, and no seed
would repeat them. So the drawing is here, and the changes are torchvision's functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.augment.image._geometry import warped
from headstart.data.dataset import Value

LARGEST = 30  # magnitude, the last of torchvision's 31 steps
SIGNED = {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "saturation", "contrast", "sharpness"}
NAMES = ("identity", *sorted(SIGNED), "posterize", "solarize", "autocontrast", "equalize")


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """``count`` random changes of shape or colour, one after another, each of the strength ``magnitude`` (0 to 30)."""

    magnitude: float = 9.0
    count: int = 2
    order: ClassVar[int] = 50
    paper: ClassVar[str] = "Cubuk et al. 2019, arXiv 1909.13719"

    def __post_init__(self) -> None:
        within(self, magnitude=(0, LARGEST), count=(1, len(NAMES)))

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        picture = np.asarray(value)
        for _ in range(self.count):
            name, sign = NAMES[rng.integers(len(NAMES))], rng.choice((-1.0, 1.0))
            strength = self.magnitude / LARGEST * (sign if name in SIGNED else 1.0)
            picture = changed(picture, name, strength)
        return picture


def changed(picture: np.ndarray, name: str, strength: float) -> np.ndarray:
    """uint8 (height, width, 3) -> the same shape after one change; ``strength`` from -1 or 0 to 1."""
    height, width = picture.shape[:2]
    bent = {
        "shear_x": {"shear": (float(np.degrees(np.arctan(0.3 * strength))), 0.0)},
        "shear_y": {"shear": (0.0, float(np.degrees(np.arctan(0.3 * strength))))},
        "translate_x": {"shift": (150 / 331 * width * strength, 0.0)},
        "translate_y": {"shift": (0.0, 150 / 331 * height * strength)},
        "rotate": {"angle": 30 * strength},
    }
    if name in bent:
        return warped(picture, **bent[name])  # type: ignore[arg-type]
    return picture if name == "identity" else _recoloured(picture, name, strength)


def _recoloured(picture: np.ndarray, name: str, strength: float) -> np.ndarray:
    import torch
    from torchvision.transforms.v2 import functional

    pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)).copy())  # (3, height, width)
    factor = 1 + 0.9 * strength
    done = {
        "brightness": lambda: functional.adjust_brightness(pixels, factor),
        "saturation": lambda: functional.adjust_saturation(pixels, factor),
        "contrast": lambda: functional.adjust_contrast(pixels, factor),
        "sharpness": lambda: functional.adjust_sharpness(pixels, factor),
        "posterize": lambda: functional.posterize(pixels, 8 - round(4 * strength)),
        "solarize": lambda: functional.solarize(pixels, 255 * (1 - strength)),
        "autocontrast": lambda: functional.autocontrast(pixels),
        "equalize": lambda: functional.equalize(pixels),
    }[name]()
    return np.ascontiguousarray(done.numpy().transpose(1, 2, 0))
