"""Rows of two domains, and the linear classifier that every method on features ends with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.metrics.classification import log_loss
from headstart.solvers import FLOOR, temperature
from headstart.solvers.logistic import minimum
from headstart.tasks import Head
from headstart.tasks._heads import LinearHead

PENALTIES = (1.0, 0.1, 0.01, 0.001)  # lambda of: mean cross-entropy + lambda / 2 |weight|^2, the strongest first
SPARSE = 0.5  # share of zeros from which on rows are counts of what occurs, whose zeros should stay zeros
GRADIENT, STEPS = 1e-4, 100  # when the classifier is near enough to its minimum
HELD_OUT = 4  # one row in so many is held out to choose the penalty
MANY = 500  # rows from which on one held-out part is enough


@dataclass(frozen=True)
class Pair:
    """A labelled source and an unlabelled target.

    Attributes:
        source: (n, dim) float32.
        labels: (n,) class numbers of the source.
        target: (m, dim) float32; there are no labels of the target here, so none can be used.
        num_classes: how many classes the task has.
        penalty: of the linear classifier, where it was chosen before; else every fit chooses its own.
    """

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    num_classes: int
    penalty: float | None = None

    def rows(self, chosen: np.ndarray) -> Pair:
        """The same with some rows of the source only."""
        return replace(self, source=self.source[chosen], labels=self.labels[chosen])

    def reversed(self, guesses: np.ndarray) -> Pair:
        """The target, labelled by guesses (m,), as the source, and the source without its labels as the target."""
        return replace(self, source=self.target, labels=guesses, target=self.source)


def are_counts(*parts: np.ndarray) -> bool:
    """Rows of how often what occurs, as bags of words are: not negative, mostly zero, and many features."""
    size = sum(part.size for part in parts)
    zeros = size - sum(np.count_nonzero(part) for part in parts)
    return bool(zeros > SPARSE * size and parts[0].shape[1] > 100 and min(part.min(initial=0) for part in parts) >= 0)


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / scale, mean and scale (dim,)."""

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return ((rows - self.mean) / self.scale).astype(np.float32)


def scaling(*parts: np.ndarray) -> Scaling:
    """What brings the rows of all parts together to mean 0 and variance 1, feature by feature.

    Rows that are mostly zeros (counts of words) keep their zeros and get one common scale: standardised one by one, the
    rarest words would be the loudest.
    """
    num = sum(len(part) for part in parts)
    dim = parts[0].shape[1]
    zeros = sum(part.size - np.count_nonzero(part) for part in parts) / max(1, num * dim)
    if zeros > SPARSE:
        size = np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts) / (num * dim))
        return Scaling(np.zeros(dim, np.float32), np.full(dim, size or 1.0, np.float32))
    mean = sum(part.sum(0, dtype=np.float64) for part in parts) / num
    variance = sum(np.square(part - mean).sum(0) for part in parts) / num
    scale = np.sqrt(variance)
    floor = FLOOR * np.sqrt(np.mean(variance))
    scale = np.where(scale > 1e-6 * np.abs(mean) + 1e-12, np.maximum(scale, floor), np.inf)
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))


@dataclass(frozen=True)
class Linear:
    """logits = rows @ weight.T + bias: weight (classes, dim), bias (classes,), and the penalty that was chosen."""

    weight: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, rows: np.ndarray) -> np.ndarray:
        return rows @ self.weight.T + self.bias

    def after(self, scaled: Scaling) -> Linear:
        """The same function of rows that were not scaled yet."""
        weight = self.weight / scaled.scale
        return Linear(weight, self.bias - weight @ scaled.mean, self.penalty)

    def head(self) -> Head:
        made = LinearHead(self.weight.shape[1], len(self.bias))
        with torch.no_grad():
            made.linear.weight.copy_(torch.from_numpy(self.weight.astype(np.float32)))
            made.linear.bias.copy_(torch.from_numpy(self.bias.astype(np.float32)))
        return made


def classifier(
    rows: np.ndarray, labels: np.ndarray, num_classes: int, *, penalty: float | None = None,
    weights: np.ndarray | None = None, seed: int = 0,
) -> Linear:  # fmt: skip
    """Multinomial logistic regression on scaled rows; the penalty by the log loss of rows held out, unless it is given.

    Args:
        rows: (n, dim) float32.
        labels: (n,) class numbers.
        weights: (n,) of the rows, any scale.
    """
    divisor = 1.0
    if penalty is None:
        penalty, divisor = _chosen(rows, labels, num_classes, weights, seed)
    weight, bias = minimum(rows, labels, num_classes, (penalty,), weights=weights, gradient=GRADIENT, most=STEPS)
    return Linear(weight[0] / divisor, bias[0] / divisor, penalty)


def folds(labels: np.ndarray, seed: int, num: int) -> np.ndarray:
    """(n,) fold numbers, stratified; a class with one row stands in fold 0."""
    generator, found = np.random.default_rng(seed), np.zeros(len(labels), int)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        found[rows] = np.arange(len(rows)) % num
    return found


def _chosen(
    rows: np.ndarray, labels: np.ndarray, num_classes: int, weights: np.ndarray | None, seed: int
) -> tuple[float, float]:
    """The penalty with the least log loss on rows held out, and the temperature of its logits."""
    fold = folds(labels, seed, HELD_OUT)
    out = np.zeros((len(PENALTIES), len(labels), num_classes))
    seen = np.zeros(len(labels), bool)
    for number in range(1 if len(labels) >= MANY else HELD_OUT):
        inside, outside = fold != number, fold == number
        if len(np.unique(labels[inside])) < 2 or not outside.any():
            continue
        some = None if weights is None else weights[inside]
        found = minimum(rows[inside], labels[inside], num_classes, PENALTIES, weights=some, gradient=GRADIENT, most=STEPS)
        for place, (weight, bias) in enumerate(zip(*found, strict=True)):
            out[place, outside] = rows[outside] @ weight.T + bias
        seen |= outside
    if not seen.any():
        return PENALTIES[1], 1.0
    divisors = [temperature(logits[seen], labels[seen]) for logits in out]
    losses = [log_loss(z[seen] / divisor, labels[seen]) for z, divisor in zip(out, divisors, strict=True)]
    best = int(np.argmin(losses))
    return PENALTIES[best], divisors[best]
