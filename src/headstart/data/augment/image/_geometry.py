"""Pictures bent by an affine map, by torchvision; what comes into view is filled with the mean colour."""

from __future__ import annotations

import numpy as np


def warped(
    picture: np.ndarray,
    *,
    angle: float = 0.0,
    zoom: float = 1.0,
    shear: tuple[float, float] = (0.0, 0.0),
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """uint8 (height, width, 3) -> a new one of the same shape, bilinear, about its centre.

    Args:
        angle: degrees, clockwise.
        zoom: above 1, the picture grows beyond its frame.
        shear: degrees, along x and y.
        shift: pixels, to the right and down.
    """
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float()  # (3, height, width)
    fill = pixels.mean((1, 2), keepdim=True)
    # what lies outside is 0, so the rim blends into the mean; torchvision's own ``fill`` leaves a dark seam there
    bent = fill + functional.affine(
        pixels - fill, angle=angle, translate=[shift[0], shift[1]], scale=zoom, shear=list(shear),
        interpolation=InterpolationMode.BILINEAR,
    )  # fmt: skip
    return np.ascontiguousarray(bent.round().clamp(0, 255).byte().numpy().transpose(1, 2, 0))
