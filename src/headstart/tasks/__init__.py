"""The task contract: what is predicted, with its head, losses, decoding and metrics. One file is one task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from headstart.models.backbone import Features


class Head(nn.Module, ABC):
    """The part behind the backbone. Losses live here: some tasks cannot be split into output and loss."""

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Features of n samples -> (n, outputs)."""

    @abstractmethod
    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """Named scalar losses; their sum is minimised."""


class Task(ABC):
    """Knows what was learned from the training labels alone (the class names, say)."""

    needs: frozenset[str]

    @classmethod
    @abstractmethod
    def learn(cls, labels: Sequence[str]) -> Task:
        """The task that these training labels state."""

    @abstractmethod
    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """Labels as numbers."""

    @abstractmethod
    def head(self, dim: int) -> Head:
        """A fresh head on ``dim``-wide features."""

    @abstractmethod
    def probabilities(self, output: Tensor) -> np.ndarray:
        """The head's output as probabilities (n, k)."""

    @abstractmethod
    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        """The metrics of predictions against labels."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]: ...
