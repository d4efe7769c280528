"""Whether a shortcut computes what the whole network does: its features, and the gradients that reach what moves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def probed(vector: Tensor, moving: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The features (n, dim), and the gradients of a sum of them, weighted unevenly, as one row of numbers."""
    weights = torch.arange(vector.numel(), device=vector.device).view_as(vector).sin()
    slopes = torch.autograd.grad((vector.float() * weights).sum(), moving, allow_unused=True)
    return vector.detach().float(), torch.cat([slope.float().flatten() for slope in slopes if slope is not None])


def relative_gap(wanted: Tensor, found: Tensor) -> float:
    """The length of their difference over that of what is wanted; infinite where the shapes differ."""
    if wanted.shape != found.shape:
        return float("inf")
    return float((wanted - found).norm() / wanted.norm().clamp(min=1e-12))
