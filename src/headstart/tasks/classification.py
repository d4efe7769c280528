"""Classification: one class name for each sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import DataError
from headstart.metrics import classification as metrics
from headstart.tasks import Answer, Metric, Task
from headstart.tasks._heads import LinearHead


@dataclass(frozen=True)
class Classification(Task):
    """The class names, in the order of the head's outputs; the order is saved with the weights."""

    classes: tuple[str, ...]
    kind = "classification"
    needs = frozenset({"vector"})
    metric = Metric("accuracy", "accuracy", "points")
    linear = "logistic regression"

    @classmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> Classification:
        return cls(tuple(sorted(set(labels))))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.classes

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """(n,) int64 class numbers.

        Raises:
            DataError: a label is none of the classes; lists the unknown ones.
        """
        number = {name: i for i, name in enumerate(self.classes)}
        unknown = sorted(set(labels) - set(number))
        if unknown:
            raise DataError(
                f"The labels {', '.join(map(repr, unknown[:5]))} are none of the {len(self.classes)} classes the model "
                f"was trained on ({', '.join(map(repr, self.classes[:8]))}{', ...' if len(self.classes) > 8 else ''}). "
                "Rename or remove them."
            )
        return np.array([number[label] for label in labels], dtype=np.int64)

    def head(self, dim: int) -> LinearHead:
        return LinearHead(dim, len(self.classes))

    def probabilities(self, output: Tensor) -> np.ndarray:
        return output.detach().double().softmax(1).cpu().numpy()

    def answer(self, row: np.ndarray) -> Answer:
        label = self.classes[int(row.argmax())]
        return Answer(label, label, float(row.max()), dict(zip(self.classes, row.tolist(), strict=True)))

    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return metrics.scores(probabilities, self.encode(labels), self.classes)

    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        loss = metrics.log_loss(output, self.encode(labels))
        found = self.score(self.probabilities(torch.from_numpy(output)), labels)
        return {**{name: found[name] for name in ("accuracy", "precision", "recall", "f1")}, "loss": loss}

    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return (probabilities.argmax(1) == self.encode(labels)).astype(float)

    def strata(self, labels: Sequence[str]) -> list[str]:
        return list(labels)

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        tally = Counter(labels)
        return {name: tally[name] for name in sorted(tally)}

    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> Classification:
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "classification", "classes": list(self.classes)}


def restore(facts: dict[str, Any]) -> Classification:
    """The task that ``to_dict`` described."""
    return Classification(tuple(map(str, facts["classes"])))
