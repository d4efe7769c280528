"""Rows of two domains, and the linear classifier that every method on features ends with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from headstart.metrics.classification import log_loss
from headstart.solvers import FLOOR, temperature
from headstart.tasks import Head
from headstart.tasks._heads import LinearHead

PENALTIES = (1.0, 0.1, 0.01, 0.001)  # lambda of: mean cross-entropy + lambda / 2 |weight|^2, the strongest first
SPARSE = 0.5  # share of zeros from which on rows are counts of what occurs, whose zeros should stay zeros
HELD_OUT = 4  # one row in so many is held out to choose the penalty
MANY = 2000  # rows from which on one held-out part is enough


@dataclass(frozen=True)
class Pair:
    """A labelled source and an unlabelled target.

    Attributes:
        source: (n, dim) float32.
        labels: (n,) class numbers of the source.
        target: (m, dim) float32; there are no labels of the target here, so none can be used.
        num_classes: how many classes the task has.
        few: numbers of those target rows whose labels the user gave for training, and these labels; usually none.
    """

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray
    num_classes: int
    few: tuple[np.ndarray, np.ndarray] = (np.empty(0, int), np.empty(0, int))

    def rows(self, chosen: np.ndarray) -> Pair:
        """The same with some rows of the source only."""
        return replace(self, source=self.source[chosen], labels=self.labels[chosen])

    def reversed(self, guesses: np.ndarray) -> Pair:
        """The target, labelled by guesses (m,), as the source, and the source without its labels as the target."""
        return Pair(self.target, guesses, self.source, self.num_classes)


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
    weight, bias = _minimum(rows, labels, num_classes, (penalty,), weights)
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
        for place, values in enumerate(
            zip(*_minimum(rows[inside], labels[inside], num_classes, PENALTIES, some), strict=True)
        ):
            out[place, outside] = rows[outside] @ values[0].T + values[1]
        seen |= outside
    if not seen.any():
        return PENALTIES[1], 1.0
    divisors = [temperature(logits[seen], labels[seen]) for logits in out]
    losses = [log_loss(z[seen] / divisor, labels[seen]) for z, divisor in zip(out, divisors, strict=True)]
    best = int(np.argmin(losses))
    return PENALTIES[best], divisors[best]


def _minimum(
    rows: np.ndarray, labels: np.ndarray, num_classes: int, penalties: tuple[float, ...], weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (penalties, classes, dim) and biases (penalties, classes) at the minimum for every penalty."""
    x, y = torch.from_numpy(np.ascontiguousarray(rows, np.float32)), torch.from_numpy(np.asarray(labels, np.int64))
    s, k, d = len(penalties), num_classes, x.shape[1]
    share = torch.full((len(y),), 1 / len(y)) if weights is None else torch.from_numpy(weights / weights.sum()).float()
    strength = torch.tensor(penalties).view(s, 1, 1)
    weight, bias = torch.zeros(s, k, d, requires_grad=True), torch.zeros(s, k, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=100, tolerance_grad=1e-6, tolerance_change=1e-8, history_size=10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    wanted = y.view(-1, 1).expand(-1, s)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (x @ weight.view(s * k, d).T).view(-1, s, k) + bias  # (n, penalties, classes)
        each = functional.cross_entropy(logits.permute(0, 2, 1), wanted, reduction="none")
        loss = (share.view(-1, 1) * each).sum() + (strength / 2 * weight.square()).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()
