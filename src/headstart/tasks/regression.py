"""Regression: one number, or several, for each sample. Targets are scaled by their training mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import ConfigError, DataError
from headstart.metrics import regression as metrics
from headstart.tasks import Answer, Metric, Task
from headstart.tasks._linear import RegressionHead
from headstart.tasks._numbers import VALUE, matrix, shown

BINS = 10  # of the values, over which a split is stratified


@dataclass(frozen=True)
class Regression(Task):
    """The names of the outputs, and mean and standard deviation of the training values of each."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    kind = "regression"
    needs = frozenset({"vector"})
    metric = Metric("r2", "R\N{SUPERSCRIPT TWO}", "points of R\N{SUPERSCRIPT TWO}")
    linear = "ridge regression (or, of few features, the lasso)"

    @classmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> Regression:
        """
        Raises:
            DataError: a label is no number, or a column holds none, or one number only.
            ConfigError: something was said of it, and there is nothing to say.
        """
        if given:
            raise ConfigError(f"$.task: regression takes nothing behind the colon, got {given!r}")
        values, columns = matrix(labels)
        for place, name in enumerate(columns):
            present = values[np.isfinite(values[:, place]), place]
            what = f"The column {name!r}" if len(columns) > 1 else "The labels"
            if not len(present):
                raise DataError(f"{what} of the training samples holds no number, so there is nothing to learn from")
            if present.std() == 0:
                raise DataError(f"{what} of the training samples: all are {shown(present[0])}; nothing is left to predict")
        return cls(columns, tuple(np.nanmean(values, 0).tolist()), tuple(np.nanstd(values, 0).tolist()))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.columns

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """(n, k) float64, NaN where a number is missing."""
        return matrix(labels, self.columns)[0]

    def head(self, dim: int) -> RegressionHead:
        head = RegressionHead(dim, len(self.columns))
        head.mean.copy_(torch.tensor(self.mean))
        head.scale.copy_(torch.tensor(self.scale))
        return head

    def probabilities(self, output: Tensor) -> np.ndarray:
        """(n, k) predicted numbers."""
        return output.detach().double().cpu().numpy()

    def answer(self, row: np.ndarray) -> Answer:
        if self.columns == (VALUE,):
            return Answer(shown(row[0]), float(row[0]))
        values = dict(zip(self.columns, row.tolist(), strict=True))
        return Answer(", ".join(f"{name} {shown(value)}" for name, value in values.items()), values)

    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return metrics.scores(probabilities, self.encode(labels), self.columns)

    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        actual = self.encode(labels)
        loss = float(np.nanmean(np.square((output - actual) / np.array(self.scale))))
        found = metrics.r2(output, actual)
        return {"r2": found if np.isfinite(found) else 1 - loss, "loss": loss}

    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return metrics.merits(probabilities, self.encode(labels))

    def strata(self, labels: Sequence[str]) -> list[str]:
        """Tenths of the (first known) value, so that no side has only high or low ones."""
        values = (self.encode(labels) - np.array(self.mean)) / np.array(self.scale)
        first = np.array([next((v for v in row if np.isfinite(v)), 0.0) for row in values])
        bins = max(1, min(BINS, len(first) // 10))
        edges = np.quantile(first, np.linspace(0, 1, bins + 1)[1:-1])
        return [f"bin {place}" for place in np.searchsorted(edges, first, side="right")]

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        present = np.isfinite(self.encode(labels)).sum(0)
        return dict(zip(self.columns, present.tolist(), strict=True))

    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> Regression:
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "regression", "classes": list(self.columns), "mean": list(self.mean), "scale": list(self.scale)}


def restore(facts: dict[str, Any]) -> Regression:
    """The task that ``to_dict`` described."""
    names = tuple(map(str, facts["classes"]))
    return Regression(names, tuple(map(float, facts["mean"])), tuple(map(float, facts["scale"])))
