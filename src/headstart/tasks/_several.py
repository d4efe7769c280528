"""A head for each of several tasks on the same features (hard parameter sharing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from headstart.models.backbone import Features
from headstart.tasks import Head


class SeveralHead(Head):
    """The outputs of all heads side by side; one loss a task, over the samples that have its label.

    Caruana 1997, Multitask Learning, Machine Learning 28.

    Attributes:
        widths: how many columns of the labels each task takes.
        whole: whether the labels of a task are whole numbers (classes).
    """

    def __init__(self, heads: Mapping[str, Head], widths: Sequence[int], whole: Sequence[bool]) -> None:
        super().__init__()
        self.names = tuple(heads)
        self.heads = nn.ModuleList(heads.values())
        self.widths, self.whole = tuple(widths), tuple(whole)

    def forward(self, features: Features) -> Tensor:
        return torch.cat([head(features).float() for head in self.heads], 1)

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """``labels``: (n, sum of widths), NaN where one is missing. A task without any label in the batch has no loss."""
        found = {}
        parts = labels.split(self.widths, 1)
        for name, head, part, whole in zip(self.names, self.heads, parts, self.whole, strict=True):
            rows = torch.isfinite(part).any(1)
            if not bool(rows.any()):
                continue
            wanted = part[rows].squeeze(1).long() if whole else part[rows]
            assert isinstance(head, Head)
            losses = head.losses(Features(features.vector[rows]), wanted)
            found[name] = torch.stack(list(losses.values())).sum()
        return found
