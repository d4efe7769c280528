"""The task contract: what is predicted, with its head, losses, decoding and metrics. One file is one task.

A label is a text (see ``data/labels.py``); the task knows how to read it. The columns of ``probabilities`` are named by
``outputs``: of a classification they are the classes, of a regression the predicted numbers in their own unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from headstart import plugins
from headstart.errors import Incompatible
from headstart.models.backbone import Features


class Head(nn.Module, ABC):
    """The part behind the backbone. Losses live here: some tasks cannot be split into output and loss."""

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Features of n samples -> (n, outputs)."""

    @abstractmethod
    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """Named scalar losses; their sum is minimised."""


@dataclass(frozen=True)
class Metric:
    """The number that choices and the verdict go by: a share, higher is better, 1 at best.

    Attributes:
        name: its key in scores.
        title: in words.
        gain: what a difference of it is called, "points" of what.
    """

    name: str
    title: str
    gain: str


@dataclass(frozen=True)
class Answer:
    """What a model says of one sample.

    Attributes:
        label: as a text.
        value: as a value: a class name, a number, a list of labels, or a dict of these.
        probability: of the label; None where there is none.
        probabilities: of each label; empty where there are none.
    """

    label: str
    value: Any
    probability: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)


class Task(ABC):
    """Knows what was learned from the training labels alone (the class names, say)."""

    kind: ClassVar[str]  # the name of its file
    needs: frozenset[str]
    metric: ClassVar[Metric]
    linear: ClassVar[str]  # what a linear model of it is called
    tunes: bool = False  # whether ``tuned`` chooses anything

    @classmethod
    @abstractmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> Task:
        """The task that these training labels state, and what the user said of it (the order of grades, say)."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """The names of what the head outputs, in their order; the order is saved with the weights."""

    @abstractmethod
    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """Labels as numbers, (n,) or (n, k); NaN where one of several is missing."""

    @abstractmethod
    def head(self, dim: int) -> Head:
        """A fresh head on ``dim``-wide features."""

    @abstractmethod
    def probabilities(self, output: Tensor) -> np.ndarray:
        """The head's output decoded, (n, outputs): probabilities, or the numbers that are predicted."""

    @abstractmethod
    def answer(self, row: np.ndarray) -> Answer:
        """One row of ``probabilities`` as an answer."""

    @abstractmethod
    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        """The metrics of predictions against labels, ``metric.name`` among them."""

    @abstractmethod
    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        """``loss`` and a few metrics of the head's raw output (n, outputs), for choosing an epoch."""

    @abstractmethod
    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """(n,) how good each prediction is; the mean is ``metric``, so the verdict can compare sample by sample."""

    @abstractmethod
    def strata(self, labels: Sequence[str]) -> list[str]:
        """n names of strata that a split should spread alike over its sides."""

    @abstractmethod
    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        """How many samples there are of each class, or with each label."""

    @abstractmethod
    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> Task:
        """The task with what is chosen on validation samples (thresholds); itself where nothing is."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]: ...


def learn(stated: str, labels: Sequence[str]) -> Task:
    """The task that a text states, ``"regression"`` or ``"ordinal:low<high"``, as these training labels show it."""
    kind, _, given = stated.partition(":")
    return plugins.variant("tasks", kind, Task).learn(labels, given)  # type: ignore[attr-defined,no-any-return]


def restore(facts: dict[str, Any]) -> Task:
    """The task that ``to_dict`` described."""
    found: Task = plugins.load("tasks", str(facts["kind"])).restore(facts)
    return found


def classes_of(task: Task, purpose: str) -> tuple[str, ...]:
    """The classes of a classification.

    Raises:
        Incompatible: the task is another one.
    """
    if task.kind != "classification":
        raise Incompatible(f"{purpose} is for classification, and the task is {task.kind}. Leave it out.")
    return task.outputs
