"""The tuning contract: which parameters of a backbone move, and at which rate. One file is one tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from headstart.models.backbone import Backbone


class Tuning(ABC):
    @abstractmethod
    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser; everything else is frozen by ``freeze_others``."""


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


def decayed(parameters: list[nn.Parameter], rate: float, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Two groups at one rate: weight decay for matrices and kernels, none for biases and norms."""
    shapes = [("weights", [p for p in parameters if p.ndim > 1]), ("vectors", [p for p in parameters if p.ndim <= 1])]
    return [
        {"params": entries, "lr": rate, "weight_decay": weight_decay if kind == "weights" else 0.0}
        for kind, entries in shapes
        if entries
    ]
