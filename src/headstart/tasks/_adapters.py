"""Adapters of tasks: a small bottleneck between the shared features and each head, so that tasks share softly.

Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, arXiv 1902.00751, section 2.1. Theirs stand in every layer of
a transformer; here each task has one, behind the pooled features, which every backbone has.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional

from headstart.models.backbone import Features
from headstart.tasks import Head
from headstart.tasks._several import SeveralHead


class Adapter(nn.Module):
    """x + up(gelu(down(x))), (n, dim) -> (n, dim). ``up`` starts at zero, so an adapter starts as if it were not there."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, vector: Tensor) -> Tensor:
        moved: Tensor = self.up(functional.gelu(self.down(vector)))
        return vector + moved


class AdaptedHead(Head):
    """A head that sees the features through an adapter of its own."""

    head: Head

    def __init__(self, head: Head, dim: int, width: int) -> None:
        super().__init__()
        self.adapter = Adapter(dim, width)
        self.head = head

    def forward(self, features: Features) -> Tensor:
        return self.head(self._seen(features))

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        return self.head.losses(self._seen(features), labels)

    def _seen(self, features: Features) -> Features:
        return replace(features, vector=self.adapter(features.vector))


def adapted(head: Head, dim: int, width: int) -> Head:
    """The same head behind a fresh adapter; of several tasks, each behind its own.

    Args:
        dim: of the features.
        width: of the bottleneck.
    """
    if not isinstance(head, SeveralHead):
        return AdaptedHead(head, dim, width)
    heads = {name: AdaptedHead(one, dim, width) for name, one in zip(head.names, head.heads, strict=True)}  # type: ignore[arg-type]
    return SeveralHead(heads, head.widths, head.whole)


def adapter_parameters(head: Head) -> list[nn.Parameter]:
    """Those of all its adapters; empty where it has none."""
    return [entry for module in head.modules() if isinstance(module, Adapter) for entry in module.parameters()]
