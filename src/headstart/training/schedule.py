"""The learning rate over time: linear warm-up (Goyal et al. 2017, arXiv 1706.02677), then half a cosine
(Loshchilov and Hutter 2017, arXiv 1608.03983)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass
class Schedule:
    """Sets the rates of an optimiser's groups, whose rates at the beginning are their peaks.

    Attributes:
        total: steps of the whole training.
        warmup: share of them over which the rate rises.
        steps: of an epoch. A group with ``"begins"``, a share of the training, joins at the first epoch behind it.
    """

    optimiser: torch.optim.Optimizer
    total: int
    warmup: float
    steps: int = 1

    def __post_init__(self) -> None:
        groups = self.optimiser.param_groups
        self.peaks = [group["lr"] for group in groups]
        epochs = self.total / self.steps
        self.joins = [math.ceil(group.get("begins", 0.0) * epochs - 1e-9) * self.steps for group in groups]

    def thaw(self, step: int) -> None:
        """Before an epoch that begins with this step: what has not joined yet is frozen, and the rest moves."""
        for group, joins in zip(self.optimiser.param_groups, self.joins, strict=True):
            for parameter in group["params"]:
                parameter.requires_grad_(joins <= step)

    def set(self, step: int) -> None:
        for group, peak, joins in zip(self.optimiser.param_groups, self.peaks, self.joins, strict=True):
            group["lr"] = peak * pace(step, self.total, self.warmup, joins)

    @property
    def highest(self) -> float:
        """The largest rate of a group just now."""
        return max(group["lr"] for group in self.optimiser.param_groups)


def pace(step: int, total: int, warmup: float, joins: int = 0) -> float:
    """The share of the peak rate at a step: linear warm-up, then half a cosine down to zero.

    What joins later than at step 0 has a warm-up of its own, and then the rate of the others.
    """
    rising = max(1, round(total * warmup))
    risen = min(1.0, max(0, step - joins + 1) / rising)
    if step < rising:
        return risen
    return risen * (0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, total - rising)))
