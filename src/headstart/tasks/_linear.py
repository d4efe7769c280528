"""Linear heads of the tasks whose labels are no single class. All are saved as plain tensors; NaN labels are no loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.models.backbone import Features
from headstart.tasks import Head


class RegressionHead(Head):
    """numbers = (features @ weight + bias) * scale + mean: trained on scaled targets, answering in their own unit."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, num_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_outputs)
        self.register_buffer("mean", torch.zeros(num_outputs))
        self.register_buffer("scale", torch.ones(num_outputs))

    def forward(self, features: Features) -> Tensor:
        return self.linear(features.vector).float() * self.scale + self.mean

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """``labels``: (n, k). The squared error in units of the standard deviation."""
        wanted = ((labels - self.mean) / self.scale).float()
        return {"squared_error": masked_mean(functional.mse_loss, self.linear(features.vector).float(), wanted)}


class LabelsHead(Head):
    """One logit a label, each judged on its own."""

    def __init__(self, dim: int, num_labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_labels)

    def forward(self, features: Features) -> Tensor:
        return self.linear(features.vector)

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """``labels``: (n, k) of 0 and 1."""
        loss = functional.binary_cross_entropy_with_logits
        return {"binary_cross_entropy": masked_mean(loss, self.linear(features.vector).float(), labels.float())}


class OrdinalHead(Head):
    """Cumulative logits: P(grade > j) = sigmoid(features @ weight - threshold_j), thresholds rising.

    McCullagh 1980, Regression Models for Ordinal Data, J. R. Stat. Soc. B 42(2). The outputs are log-probabilities of the
    k grades. Thresholds are the first one and the logarithms of the gaps behind it.
    """

    def __init__(self, dim: int, num_grades: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 1, bias=False)
        self.first = nn.Parameter(torch.tensor([-0.5 * (num_grades - 2)]))
        self.gaps = nn.Parameter(torch.zeros(num_grades - 2))

    @property
    def thresholds(self) -> Tensor:
        """(k - 1,)"""
        return torch.cat([self.first, self.first + self.gaps.clamp(-30, 30).exp().cumsum(0)])

    def forward(self, features: Features) -> Tensor:
        return grades(self.linear(features.vector).float(), self.thresholds)

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        return {"cumulative": functional.nll_loss(self(features), labels)}


def grades(score: Tensor, thresholds: Tensor) -> Tensor:
    """Log-probabilities (n, k) of the grades from scores (n, 1) and rising thresholds (k - 1,).

    log(sigmoid(a) - sigmoid(b)) = logsigmoid(a) + logsigmoid(-b) + log(1 - exp(b - a)) for a > b: exact in the tails,
    too.
    """
    over = score - thresholds  # (n, k - 1): falls from left to right
    first, last = functional.logsigmoid(-over[:, :1]), functional.logsigmoid(over[:, -1:])
    high, low = over[:, :-1], over[:, 1:]
    gap = (low - high).clamp(max=-1e-6)
    middle = functional.logsigmoid(high) + functional.logsigmoid(-low) + torch.log(-torch.expm1(gap))
    return torch.cat([first, middle, last], 1)


def masked_mean(loss: object, output: Tensor, wanted: Tensor) -> Tensor:
    """The mean loss over what is not NaN in ``wanted``; 0, with a gradient of 0, where all of it is."""
    present = torch.isfinite(wanted)
    each = loss(output, torch.where(present, wanted, torch.zeros_like(wanted)), reduction="none")  # type: ignore[operator]
    return (each * present).sum() / present.sum().clamp(min=1)
