"""A head of several layers, as domain adaptation on features leaves it behind; saved as plain tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.models.backbone import Features
from headstart.tasks import Head


class LayeredHead(Head):
    """Denoising layers, hidden layers, then a linear layer; either kind may be absent.

    Counts may be dampened first: log(1 + x). Denoising layers (mSDA) are ``h_i = tanh(W_i h_(i-1) + b_i)``, and the input and all of them stand side by side
    behind them. Hidden layers are linear with a ReLU. Before all of it features are standardised: (x - mean) / scale.
    """

    mean: Tensor
    scale: Tensor
    dampened: Tensor

    def __init__(self, dim: int, num_classes: int, hidden: Sequence[int] = (), denoisers: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("dampened", torch.tensor(False))
        ins = [dim, *denoisers]
        self.denoisers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(ins[:-1], denoisers, strict=True))
        for parameter in self.denoisers.parameters():
            parameter.requires_grad_(False)  # closed form: nothing here is trained by gradients
        widths = [sum(ins), *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], hidden, strict=True))
        self.linear = nn.Linear(widths[-1], num_classes)
        self.label_smoothing = 0.0

    def denoised(self, vectors: Tensor) -> Tensor:
        """(n, dim) raw features -> what the hidden layers take."""
        vectors = torch.log1p(vectors.clamp(min=0)) if self.dampened else vectors
        found = [(vectors - self.mean) / self.scale]
        for layer in self.denoisers:
            found.append(torch.tanh(layer(found[-1])))
        return torch.cat(found, 1) if len(found) > 1 else found[0]

    def represent(self, denoised: Tensor) -> Tensor:
        """What the linear layer takes: (n, width)."""
        for layer in self.hidden:
            denoised = torch.relu(layer(denoised))
        return denoised

    def forward(self, features: Features) -> Tensor:
        return self.linear(self.represent(self.denoised(features.vector)))

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        logits = self(features)
        return {"cross_entropy": functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}


def empty_like(state: dict[str, Tensor]) -> LayeredHead:
    """A head whose tensors have the shapes of a saved one's."""

    def widths(kind: str) -> list[int]:
        names = (f"{kind}.{i}.bias" for i in range(len(state)))
        return [len(state[name]) for name in names if name in state]

    return LayeredHead(len(state["mean"]), len(state["linear.bias"]), widths("hidden"), widths("denoisers"))
