"""Do the statistics on a checkpoint's card fit its weights? Its first batch norm remembers what went through it.

With the preparation it was trained with, the outputs of the first convolution have about the means and variances that the
norm behind it keeps, on most photos; with another mean, deviation or range of values they have not. The idea is that of
adaptive batch normalisation (Li et al. 2017, arXiv 1603.04779), turned round: there the norm follows the data, here it
judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from headstart.models.pictures import PictureBackbone

USUAL = {  # what checkpoints are trained with: mean and deviation on the scale of pixels in [0, 1]
    "ImageNet's mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean 0.5 and deviation 0.5": ((0.5,) * 3, (0.5,) * 3),
    "pixels in 0..1 as they are": ((0.0,) * 3, (1.0,) * 3),
    "pixels in 0..255 as they are": ((0.0,) * 3, (1 / 255,) * 3),
    "pixels in 0..255 less ImageNet's mean": ((0.485, 0.456, 0.406), (1 / 255,) * 3),
}
FITS, TIMES = 0.6, 1.5  # a distance that close is a fit, and the card's must be so many times as far


class _Seen(Exception):
    """Raised to leave the network behind its first convolution."""


def better_statistics(backbone: PictureBackbone, values: Sequence[np.ndarray]) -> tuple[str, float, float] | None:
    """The usual statistics that fit the first batch norm much better than the card's, its distance, and the card's.

    None where the card fits, where nothing fits well (the pictures are unlike those of the pretraining: then nothing can be
    said), or where there is no batch norm.
    """
    card = backbone.card
    norm = next((part for part in backbone.network.modules() if isinstance(part, nn.BatchNorm2d)), None)
    if norm is None or norm.running_mean is None or card.mean is None or card.std is None or len(card.mean) != 3:
        return None
    low, high = card.value_range if len(card.value_range) == 2 else (0.0, 1.0)
    own = backbone.batch(backbone.shapes(values))
    assert isinstance(own, Tensor)
    pixels = (own.float() * _column(card.std) + _column(card.mean) - low) / (high - low)  # (n, 3, height, width)
    stated = _distance(backbone.network, norm, own)
    found = {
        name: _distance(backbone.network, norm, ((pixels - _column(mean)) / _column(std)).to(own.dtype))
        for name, (mean, std) in USUAL.items()
    }
    best = min(found, key=found.__getitem__)
    return (best, found[best], stated) if found[best] < FITS and stated > TIMES * found[best] else None


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def _distance(network: nn.Module, norm: nn.BatchNorm2d, batch: Tensor) -> float:
    """Mean over the channels of the shift, in deviations, and of half the logarithm of the ratio of variances."""
    seen: list[Tensor] = []

    def stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().float())
        raise _Seen

    handle = norm.register_forward_pre_hook(stop)
    try:
        with torch.inference_mode():
            network(batch)
    except _Seen:
        pass
    finally:
        handle.remove()
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = seen[0].mean((0, 2, 3)), seen[0].var((0, 2, 3)) + 1e-12
    kept = norm.running_var.float()
    alive = kept > 1e-3 * kept.median()  # a filter that never answers says nothing
    shift = ((mean - norm.running_mean.float()).abs() / kept.sqrt())[alive].mean()
    ratio = (0.5 * (variance / kept).log().abs())[alive].mean()
    return float(shift + ratio)
