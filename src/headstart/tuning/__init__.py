"""The tuning contract: which parameters of a backbone move, and at which rate. One file is one tuning.

A tuning is written as a text: its name, then its settings: ``"full"``, ``"last:2"``, ``"lora:8"``, ``"lora:rank=8:alpha=32"``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart import plugins
from headstart.errors import ConfigError
from headstart.models.backbone import Backbone, Stage


class Tuning(ABC):
    @abstractmethod
    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; everything else is frozen by ``freeze_others``.

        A group may have ``"begins"``, the share of the epochs after which its parameters move; they are frozen until
        then. A tuning may add modules to the backbone here, which ``finish`` takes out again.

        Raises:
            ConfigError: a setting that this backbone cannot have, such as a stage that it has not.
            Incompatible: the backbone has nothing that this tuning could move.
        """

    def finish(self, backbone: Backbone) -> None:  # noqa: B027  most tunings add nothing
        """After training: bring a backbone to which ``groups`` added modules to its own architecture again."""


class Choice(ABC):
    """A tuning that is chosen by evidence before the training, the same for the same seed."""

    @abstractmethod
    def choose(self, backbone: Backbone, evidence: Evidence) -> tuple[Tuning, str]:
        """The tuning, and why this one: a sentence for the log and the report."""


@dataclass(frozen=True)
class Evidence:
    """What a choice may ask of the model and the training and validation samples; computed only when asked.

    Attributes:
        gradients: of each stage, early to late, the norm of its gradient divided by that of its weights.
        trial: the validation score after one epoch with a tuning, from the start and back to it.
        depths: of each stage, early to late, how well a linear probe on its output tells the classes of the training
            samples, cross-validated, and the standard error of that.
    """

    gradients: Callable[[], list[float]]
    trial: Callable[[Tuning], float]
    depths: Callable[[], list[tuple[float, float]]]


def named(text: str) -> Tuning | Choice:
    """The tuning, or the choice of one, that a text such as ``"last:2"`` names.

    Raises:
        ConfigError: there is no such tuning (those there are are listed), or it has no such setting.
    """
    return plugins.spelled("tuning", text, Tuning | Choice, "$.approach.tuning")


def freeze_others(backbone: Backbone, groups: list[dict[str, Any]]) -> None:
    """Gradients off for every parameter that is in no group."""
    moving = {id(parameter) for group in groups for parameter in group["params"]}
    for parameter in backbone.parameters():
        parameter.requires_grad_(id(parameter) in moving)


def training_mode(backbone: Backbone, *, still_norms: bool = False) -> None:
    """Training mode where something moves; what is frozen stays in evaluation mode, so its buffers stay as they are.

    Dropouts inside a stage follow the stage; batch norms without any moving parameter stay still, and all of
    them where ``still_norms`` is set: they then use the statistics they were pretrained with.
    """
    backbone.eval()
    for stage in backbone.stages:
        for module in stage.modules:
            if any(parameter.requires_grad for parameter in module.parameters()):
                module.train()
                for part in module.modules():
                    own = list(part.parameters())
                    frozen = still_norms or not any(p.requires_grad for p in own)
                    if isinstance(part, nn.modules.batchnorm._BatchNorm) and frozen:
                        part.eval()


def layered(
    stages: Sequence[Stage], rate: float, decay: float, weight_decay: float = 0.01, even: int = 1
) -> list[dict[str, Any]]:
    """Layer-wise rates: the last ``even`` stages at ``rate``, every earlier one at ``decay`` times that of the next."""
    checked_decay(decay)
    groups = []
    for depth, stage in enumerate(reversed(stages)):
        groups += decayed(stage.parameters(), rate * decay ** max(0, depth + 1 - even), weight_decay)
    return groups


def checked_decay(decay: float) -> None:
    """
    Raises:
        ConfigError: early stages would be faster than late ones, or stand still.
    """
    if not 0 < decay <= 1:
        raise ConfigError(
            f"$.approach.tuning: decay is the rate of a stage divided by that of the next one; expected more than 0 and "
            f"at most 1 (all alike), got {decay:g}"
        )


def decayed(parameters: list[nn.Parameter], rate: float, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Two groups at one rate: weight decay for matrices and kernels, none for biases and norms."""
    shapes = [("weights", [p for p in parameters if p.ndim > 1]), ("vectors", [p for p in parameters if p.ndim <= 1])]
    return [
        {"params": entries, "lr": rate, "weight_decay": weight_decay if kind == "weights" else 0.0}
        for kind, entries in shapes
        if entries
    ]
