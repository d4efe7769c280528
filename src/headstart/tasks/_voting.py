"""A head of many linear classifiers that vote, as boosting leaves them behind; saved as plain tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.models.backbone import Features
from headstart.tasks import Head

LEAST = 1e-3  # added to every share of the votes, so that no logit is minus infinity


class VotingHead(Head):
    """logits = log of the share of the votes; each of m linear classifiers votes for one class with its power."""

    powers: Tensor

    def __init__(self, dim: int, num_classes: int, num_members: int) -> None:
        super().__init__()
        self.members = nn.Linear(dim, num_members * num_classes)  # (m * classes, dim), member after member
        self.register_buffer("powers", torch.ones(num_members))

    @classmethod
    def of(cls, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], powers: np.ndarray) -> VotingHead:
        """From weights (classes, dim) and biases (classes,) of every member, and powers (m,)."""
        head = cls(weights[0].shape[1], len(biases[0]), len(weights))
        with torch.no_grad():
            head.members.weight.copy_(torch.from_numpy(np.concatenate(weights).astype(np.float32)))
            head.members.bias.copy_(torch.from_numpy(np.concatenate(biases).astype(np.float32)))
            head.powers.copy_(torch.from_numpy(powers.astype(np.float32)))
        return head

    def forward(self, features: Features) -> Tensor:
        said = self.members(features.vector).unflatten(1, (len(self.powers), -1))  # (n, m, classes)
        votes = functional.one_hot(said.argmax(2), said.shape[2]).to(said.dtype)
        shares = (votes * self.powers[:, None]).sum(1) / self.powers.sum()
        return (shares + LEAST).log()

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": functional.nll_loss(self(features).log_softmax(1), labels)}
