"""The mixing contract: two samples of a batch become one, and so do their labels. One file is one way.

It needs inputs that are one tensor of numbers, such as pictures. It is written as a text, its name and its settings:
``"mixup:0.2"``; of several, joined by commas, every batch gets one at random.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from headstart import plugins
from headstart.errors import ConfigError


class Mixing(ABC):
    @abstractmethod
    def mix(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (n, ...) and soft labels (n, classes) -> as many mixed ones; what was given stays as it was."""


def listed(text: str) -> list[Mixing]:
    """The ways that a text such as ``"mixup:0.2,cutmix"`` names.

    Raises:
        ConfigError: there is no such way or setting.
    """
    return [plugins.spelled("mixing", entry, Mixing, "$.approach.mix") for entry in filter(None, text.split(","))]


def checked(name: str, alpha: float) -> None:
    """
    Raises:
        ConfigError: there is no beta distribution with this parameter.
    """
    if not 0 < alpha < float("inf"):
        raise ConfigError(f"$.approach.mix: {name} takes an alpha of more than 0, such as {name}:0.2, got {alpha:g}")
