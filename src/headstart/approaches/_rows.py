"""Rows of two domains, and the linear classifier that every method on features ends with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headstart.errors import Incompatible
from headstart.metrics.classification import log_loss
from headstart.solvers import FLOOR, temperature
from headstart.solvers.logistic import minimum, path
from headstart.tasks import Head
from headstart.tasks._heads import LinearHead

# lambda of: mean cross-entropy + lambda / 2 |weight|^2, the strongest first
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
STRONGEST = 1000  # features for each 1 of the strongest penalty that is tried: the length of a row grows with them
ENOUGH = 2  # penalties in a row that are worse than the best so far, after which weaker ones are not tried
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
        known, known_labels: (k, dim) rows of the target whose labels (k,) may be learned from; None where there are none.
        together: whether the features have one scale in common, as mSDA's have, so that they are only scaled together.
    """

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    num_classes: int
    penalty: float | None = None
    together: bool = False
    known: np.ndarray | None = None
    known_labels: np.ndarray | None = None

    def rows(self, chosen: np.ndarray) -> Pair:
        """The same with some rows of the source only."""
        return replace(self, source=self.source[chosen], labels=self.labels[chosen])

    def learnable(self) -> tuple[np.ndarray, np.ndarray]:
        """The labelled target rows (k, dim) and their class numbers (k,).

        Raises:
            Incompatible: there are none.
        """
        if self.known is None or self.known_labels is None:
            raise Incompatible(
                "This approach learns from labelled samples of the target, and it may use none. Say --target-labels learn "
                "(target_labels='learn' in Python) with a target of which some samples are labelled."
            )
        return self.known, self.known_labels

    def knowing(self, chosen: np.ndarray) -> Pair:
        """The same with some of the labelled target rows only."""
        known, labels = self.learnable()
        return replace(self, known=known[chosen], known_labels=labels[chosen])

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


def scaling(*parts: np.ndarray, together: bool = False) -> Scaling:
    """What brings the rows of all parts together to mean 0 and variance 1, feature by feature.

    Rows that are mostly zeros (counts of words), and those to be scaled ``together``, keep their zeros and get one common
    scale: standardised one by one, the rarest words would be the loudest.
    """
    num = sum(len(part) for part in parts)
    dim = parts[0].shape[1]
    zeros = 0 if together else sum(part.size - np.count_nonzero(part) for part in parts)
    if together or zeros > SPARSE * num * dim:
        size = np.sqrt(sum(np.square(part).sum(dtype=np.float64) for part in parts) / (num * dim))
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
    fold, paths, held_out = folds(labels, seed, HELD_OUT), [], []
    penalties = tuple(penalty for penalty in PENALTIES if penalty <= max(1, rows.shape[1] / STRONGEST))
    for number in range(1 if len(labels) >= MANY else HELD_OUT):
        inside, outside = fold != number, np.flatnonzero(fold == number)
        if len(np.unique(labels[inside])) < 2 or not len(outside):
            continue
        some = None if weights is None else weights[inside]
        paths.append(path(rows[inside], labels[inside], num_classes, penalties, weights=some, gradient=GRADIENT, most=STEPS))
        held_out.append(outside)
    best, least, worse = (PENALTIES[len(PENALTIES) // 2], 1.0), float("inf"), 0
    for penalty, *found in zip(penalties, *paths, strict=False) if paths else ():
        logits = np.concatenate([rows[out] @ w.T + b for out, (w, b) in zip(held_out, found, strict=True)]).astype(float)
        truth = labels[np.concatenate(held_out)]
        divisor = temperature(logits, truth)
        worse += 1
        if (loss := log_loss(logits / divisor, truth)) < least:
            best, least, worse = (penalty, divisor), loss, 0
        if worse == ENOUGH:
            break
    return best
