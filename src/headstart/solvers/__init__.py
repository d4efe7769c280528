"""Solvers fit a head on a table of features; the regularisation is chosen by cross-validation.

One file is one kind of head. All of them see standardised features and give back a head that takes raw ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headstart import plugins, synthetic
from headstart.metrics.classification import log_loss
from headstart.progress import say
from headstart.synthetic import Synthetic
from headstart.tasks import Head

FOLDS = 4
FLOOR = 1e-5  # least scale of a feature, as a share of the root mean square of all


@dataclass(frozen=True)
class Table:
    """Standardised features (n, dim) float32 with class numbers (n,), and what undoes the standardisation."""

    x: np.ndarray
    y: np.ndarray
    num_classes: int
    mean: np.ndarray
    scale: np.ndarray

    def rows(self, chosen: np.ndarray) -> Table:
        return Table(self.x[chosen], self.y[chosen], self.num_classes, self.mean, self.scale)

    def grown(self, way: Synthetic | None, seed: int) -> Table:
        """With synthetic rows for the small classes; itself without a way to make them."""
        if way is None:
            return self
        return Table(*synthetic.grown(way, self.x, self.y, self.num_classes, seed), self.num_classes, self.mean, self.scale)

    def beside(self, twins: np.ndarray | None) -> Table:
        """With the standardised ``twins`` (n, dim) of its rows, under the same labels; itself without any."""
        if twins is None:
            return self
        x, y = np.concatenate([self.x, twins]), np.concatenate([self.y, self.y])
        return Table(x, y, self.num_classes, self.mean, self.scale)


class Solver(ABC):
    """A kind of head. ``grid`` holds the settings of regularisation to choose from, the strongest first.

    ``probabilistic`` ones minimise log loss themselves, so settings are compared by the loss as it is. At the best
    temperature of each, a head that is far too timid looks as good as any, and which setting wins depends on the
    folds: with 1,435 photos of MobileNetV2 it jumped by a factor of ten from seed to seed.
    """

    grid: tuple[float, ...]
    probabilistic: bool = False

    @abstractmethod
    def solve(self, table: Table, setting: float, seed: int) -> Head:
        """The head that fits the table best at this setting; its input is raw features."""

    @abstractmethod
    def logits(self, table: Table, held_out: np.ndarray, settings: tuple[float, ...], seed: int) -> list[np.ndarray]:
        """For each setting, the logits of ``held_out`` standardised rows after fitting the table."""


@dataclass(frozen=True)
class Fitted:
    """A head with how it was chosen: the setting, its cross-validated accuracy and log loss, the accuracy of the others."""

    head: Head
    setting: float
    accuracy: float
    loss: float
    tried: dict[float, float]


def fit(
    name: str,
    vectors: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    seed: int = 0,
    groups: Sequence[str] | None = None,
    more: Synthetic | None = None,
    twins: np.ndarray | None = None,
) -> Fitted:
    """Fit the head ``name`` ("logistic", "ridge", "svm", "knn") on features.

    The setting with the least cross-validated log loss wins (the stronger regularisation on a tie): with few labels
    the accuracy of four folds is too coarse to choose by. Where the outputs of a solver are no probabilities, each
    setting is judged at the temperature that suits it best. The winner's temperature is kept, so that probabilities
    mean what they say (Guo et al. 2017, arXiv 1706.04599).

    Args:
        vectors: (n, dim) float32 raw features.
        labels: (n,) class numbers.
        groups: n names of what belongs together (patient, speaker): no group is on both sides of a fold.
        more: how small classes get synthetic rows, which are made within each fold and never held out.
        twins: (n, dim) features of the same samples in another view, learned beside them and never held out.
    """
    solver: Solver = plugins.variant("solvers", name, Solver)()
    table = standardised(vectors, labels, num_classes)
    others = None if twins is None else ((twins - table.mean) / table.scale).astype(np.float32)
    whole = table.beside(others).grown(more, seed)
    folds = fold_numbers(labels, seed, groups)
    if folds is None:
        setting = solver.grid[len(solver.grid) // 2]
        return Fitted(solver.solve(whole, setting, seed), setting, float("nan"), float("nan"), {})
    held_out = [np.empty((len(labels), num_classes)) for _ in solver.grid]
    for fold in np.unique(folds):
        inside, outside = folds != fold, folds == fold
        known = table.rows(inside).beside(None if others is None else others[inside]).grown(more, seed)
        for store, values in zip(held_out, solver.logits(known, table.x[outside], solver.grid, seed), strict=True):
            store[outside] = values
    tried = {s: float((z.argmax(1) == labels).mean()) for s, z in zip(solver.grid, held_out, strict=True)}
    divisors = [temperature(z, labels) for z in held_out]
    scales = [1.0] * len(divisors) if solver.probabilistic else divisors
    losses = [log_loss(z / scale, labels) for z, scale in zip(held_out, scales, strict=True)]
    best = min(range(len(solver.grid)), key=lambda i: (losses[i], i))
    head = solver.solve(whole, solver.grid[best], seed)
    _cool(head, divisors[best])
    return Fitted(head, solver.grid[best], tried[solver.grid[best]], losses[best], tried)


def refit(name: str, vectors: np.ndarray, labels: np.ndarray, num_classes: int, setting: float, *, seed: int = 0) -> Head:
    """The head ``name`` at a regularisation that is known already, with neither cross-validation nor a temperature."""
    solver: Solver = plugins.variant("solvers", name, Solver)()
    return solver.solve(standardised(vectors, labels, num_classes), setting, seed)


def standardised(vectors: np.ndarray, labels: np.ndarray, num_classes: int) -> Table:
    """Every feature at mean 0 and variance 1; constant features stay 0, and hardly varying ones small.

    Without the floor a feature that varies by its rounding alone (sentence encoders have some) is blown up to the
    size of the others, and its weight on raw features becomes a million: noise to the probe, ruin to fine-tuning.
    """
    mean, scale = vectors.mean(0), vectors.std(0)
    floor = FLOOR * np.sqrt(np.mean(np.square(scale)))
    scale = np.where(scale > 1e-6 * np.abs(mean) + 1e-12, np.maximum(scale, floor), np.inf).astype(np.float32)
    return Table(((vectors - mean) / scale).astype(np.float32), labels, num_classes, mean, scale)


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of logits that minimises their log loss, between 0.05 and 20."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda t: log_loss(logits / np.exp(t), labels), bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


def linear_head(table: Table, weight: np.ndarray, bias: np.ndarray) -> Head:
    """A linear head on raw features from weights (classes, dim) and bias (classes,) on standardised ones."""
    from headstart.tasks._heads import LinearHead

    head = LinearHead(table.x.shape[1], table.num_classes)
    folded = weight / table.scale
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(folded.astype(np.float32)))
        head.linear.bias.copy_(torch.from_numpy((bias - folded @ table.mean).astype(np.float32)))
    return head


def _cool(head: Head, divisor: float) -> None:
    with torch.no_grad():
        if (linear := getattr(head, "linear", None)) is not None:
            linear.weight.div_(divisor)
            linear.bias.div_(divisor)
        else:
            head.temperature.fill_(divisor)  # type: ignore[operator,union-attr]


def fold_numbers(labels: np.ndarray, seed: int, groups: Sequence[str] | None = None) -> np.ndarray | None:
    """(n,) fold numbers, stratified; None where the rarest class has a single sample.

    Groups stay whole where that leaves every class on the larger side of every fold; else it is said.
    """
    least = np.bincount(labels)[np.unique(labels)].min()
    if least < 2:
        return None
    if groups is not None and len(set(groups)) > 1:
        folds = _grouped_folds(labels, np.asarray(groups), seed)
        if all(len(np.unique(labels[folds != fold])) == len(np.unique(labels)) for fold in np.unique(folds)):
            return folds
        say("cross-validation splits groups: some class is in a single one, so its accuracy flatters")
    generator, folds = np.random.default_rng(seed), np.empty(len(labels), int)
    number = int(min(FOLDS, least))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % number
    return folds


def _grouped_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """(n,) fold numbers: the largest groups first, each to the fold where its classes are rarest so far."""
    names, owner = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(counts, (owner, labels), 1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    held = np.zeros((min(FOLDS, len(names)), counts.shape[1]))
    place = np.empty(len(names), int)
    for group in order:
        place[group] = np.argmin((held * counts[group]).sum(1) + 1e-9 * held.sum(1))
        held[place[group]] += counts[group]
    return place[owner]
