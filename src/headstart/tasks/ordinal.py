"""Ordinal: grades in an order (low, medium, high; 1 to 5 stars). A cumulative-link head, and the median grade as answer.

McCullagh 1980, Regression Models for Ordinal Data, J. R. Stat. Soc. B 42(2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import ConfigError, DataError
from headstart.metrics import ordinal as metrics
from headstart.tasks import Answer, Metric, Task
from headstart.tasks._linear import OrdinalHead
from headstart.tasks._numbers import number


@dataclass(frozen=True)
class Ordinal(Task):
    """The grades, the lowest first."""

    grades: tuple[str, ...]
    kind = "ordinal"
    needs = frozenset({"vector"})
    metric = Metric("closeness", "closeness", "points of the scale")
    linear = "cumulative logistic regression"

    @classmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> Ordinal:
        """
        Args:
            given: the order, ``"low<medium<high"``; numbers need none.

        Raises:
            ConfigError: there is no order, or it lacks a grade.
            DataError: fewer than two grades.
        """
        present = sorted(set(labels))
        if given:
            order = tuple(name.strip() for name in given.split("<"))
            if len(set(order)) < len(order) or (lacking := sorted(set(present) - set(order))):
                what = "a grade twice" if len(set(order)) < len(order) else f"no {lacking[0]!r}"
                raise ConfigError(f"$.task: the order {given!r} has {what}; the labels are {', '.join(present)}")
            present = [name for name in order if name in present]  # a grade without samples has no threshold to learn
        else:
            try:
                present = sorted(present, key=number)
            except ValueError:
                raise ConfigError(
                    f"$.task: the order of the grades {', '.join(map(repr, present[:8]))} is not known; say it, the lowest "
                    f"first: --task \"ordinal:{'<'.join(present[:4])}\""
                ) from None
        if len(present) < 2:
            raise DataError(f"Training has the single grade {present[0]!r}; expected at least two" if present else
                            "There are no labels to learn from")  # fmt: skip
        return cls(tuple(present))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.grades

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """(n,) int64 places in the order.

        Raises:
            DataError: a label is no grade that training had.
        """
        place = {name: i for i, name in enumerate(self.grades)}
        if unknown := sorted(set(labels) - set(place)):
            raise DataError(f"The labels {', '.join(map(repr, unknown[:5]))} are none of the grades that the model was "
                            f"trained on ({' < '.join(self.grades)}). Rename or remove them.")  # fmt: skip
        return np.array([place[label] for label in labels], dtype=np.int64)

    def head(self, dim: int) -> OrdinalHead:
        return OrdinalHead(dim, len(self.grades))

    def probabilities(self, output: Tensor) -> np.ndarray:
        return output.detach().double().softmax(1).cpu().numpy()

    def answer(self, row: np.ndarray) -> Answer:
        place = int(metrics.median_grade(row[None])[0])
        return Answer(self.grades[place], self.grades[place], float(row[place]),
                      dict(zip(self.grades, row.tolist(), strict=True)))  # fmt: skip

    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return metrics.scores(metrics.median_grade(probabilities), self.encode(labels), self.grades)

    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        probabilities, actual = self.probabilities(torch.from_numpy(output)), self.encode(labels)
        predicted = metrics.median_grade(probabilities)
        loss = -float(np.log(np.maximum(probabilities[np.arange(len(actual)), actual], 1e-12)).mean())
        return {"closeness": float(metrics.merits(predicted, actual, len(self.grades)).mean()),
                "accuracy": float((predicted == actual).mean()), "loss": loss}  # fmt: skip

    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return metrics.merits(metrics.median_grade(probabilities), self.encode(labels), len(self.grades))

    def strata(self, labels: Sequence[str]) -> list[str]:
        return list(labels)

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        tally = Counter(labels)
        return {name: tally[name] for name in self.grades if name in tally}

    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> Ordinal:
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "ordinal", "classes": list(self.grades)}


def restore(facts: dict[str, Any]) -> Ordinal:
    """The task that ``to_dict`` described."""
    return Ordinal(tuple(map(str, facts["classes"])))
