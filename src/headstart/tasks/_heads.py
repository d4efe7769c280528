"""Heads that classification uses: linear, and nearest neighbours. Both are saved as plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.models.backbone import Features
from headstart.tasks import Head, Task


class LinearHead(Head):
    """logits = features @ weight + bias; the standardisation of a probe is folded into the weights.

    Attributes:
        label_smoothing: Szegedy et al. 2016, arXiv 1512.00567.
        class_weights: (k,) of the loss, or None; not saved.
    """

    class_weights: Tensor | None

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_classes)
        self.label_smoothing = 0.0
        self.register_buffer("class_weights", None, persistent=False)

    def forward(self, features: Features) -> Tensor:
        return self.linear(features.vector)

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """``labels``: (n,) class numbers or (n, k) shares. The mean over samples, weighted ones counting as one each."""
        each = functional.cross_entropy(
            self(features), labels, self.class_weights, reduction="none", label_smoothing=self.label_smoothing
        )
        return {"cross_entropy": each.mean()}


class NearestHead(Head):
    """k nearest neighbours by cosine similarity of standardised features, votes weighted by similarity.

    logits are temperature-scaled log shares of the votes, with a little added so that none is minus infinity.
    """

    mean: Tensor
    scale: Tensor
    references: Tensor
    votes: Tensor
    neighbours: Tensor
    temperature: Tensor

    def __init__(self, dim: int, num_references: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("references", torch.zeros(num_references, dim))  # unit length, standardised
        self.register_buffer("votes", torch.zeros(num_references, num_classes))  # one-hot labels
        self.register_buffer("neighbours", torch.tensor(5))
        self.register_buffer("temperature", torch.tensor(1.0))

    def forward(self, features: Features) -> Tensor:
        unit = functional.normalize((features.vector - self.mean) / self.scale)
        similarity, index = (unit @ self.references.T).topk(min(int(self.neighbours), len(self.references)))
        weight = (similarity * 10).exp().unsqueeze(2)  # (n, k, 1)
        share = (weight * self.votes[index]).sum(1) / weight.sum(1)
        return (share + 1e-3).log() / self.temperature

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": functional.nll_loss(self(features).log_softmax(1), labels)}


def build(kind: str, state: dict[str, Tensor], task: Task | None = None) -> Head:
    """A head of a saved kind, filled with its saved tensors; one of several tasks needs the task, which knows its parts."""
    if kind == "LinearHead":
        classes, dim = state["linear.weight"].shape
        head: Head = LinearHead(dim, classes)
    elif kind == "NearestHead":
        head = NearestHead(state["references"].shape[1], *state["votes"].shape)
    elif kind == "LayeredHead":
        from headstart.tasks import _layers

        head = _layers.empty_like(state)
    elif kind == "VotingHead":
        from headstart.tasks._voting import VotingHead

        members, (outputs, dim) = len(state["powers"]), state["members.weight"].shape
        head = VotingHead(dim, outputs // members, members)
    elif kind in ("RegressionHead", "LabelsHead"):
        from headstart.tasks import _linear

        outputs, dim = state["linear.weight"].shape
        head = {"RegressionHead": _linear.RegressionHead, "LabelsHead": _linear.LabelsHead}[kind](dim, outputs)
    elif kind in ("SeveralHead", "AdaptedHead") and task is not None:
        from headstart.tasks._adapters import adapted

        down = state.get("adapter.down.weight", state.get("heads.0.adapter.down.weight"))  # (width, dim)
        head = task.head((state["heads.0.linear.weight"] if down is None else down).shape[1])
        if down is not None:
            head = adapted(head, down.shape[1], len(down))
    elif kind == "OrdinalHead":
        from headstart.tasks import _linear

        head = _linear.OrdinalHead(state["linear.weight"].shape[1], len(state["gaps"]) + 2)
    else:
        raise ValueError(f"no head is called {kind!r}")
    head.load_state_dict(state)
    return head
