"""The penalty contract: what is added to the loss for the weights alone. One file is one penalty.

A penalty is written as a text, its name and its settings: ``"l2_sp"``, ``"l1:1e-5"``; several are joined by commas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from headstart import plugins
from headstart.errors import ConfigError


class Penalty(ABC):
    """
    Attributes:
        replaces_decay: weight decay beside it would pull toward another point or twice, so it is left out.
    """

    replaces_decay: ClassVar[bool]

    @abstractmethod
    def start(self, backbone: Sequence[nn.Parameter], head: Sequence[nn.Parameter]) -> Callable[[], Tensor]:
        """Called where training begins, with the parameters that move; gives the scalar loss of their present values."""


def listed(text: str) -> dict[str, Penalty]:
    """The penalties of a text such as ``"l2_sp:0.1,l1"`` by name.

    Raises:
        ConfigError: there is no such penalty or setting, or a weight is negative.
    """
    found: dict[str, Penalty] = {}
    for entry in filter(None, text.split(",")):
        found[entry.partition(":")[0]] = plugins.spelled("penalties", entry, Penalty, "$.approach.penalty")
    return found


def checked(name: str, *weights: float) -> None:
    """
    Raises:
        ConfigError: a weight is negative or no number, so that the penalty would reward what it should prevent.
    """
    if not all(0 <= weight < float("inf") for weight in weights):
        given = ", ".join(f"{weight:g}" for weight in weights)
        raise ConfigError(f"$.approach.penalty: the weights of {name} are 0 or more, got {given}")
