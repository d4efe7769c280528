"""Out-of-fold probabilities: what a linear head says of every sample when it was fitted without it."""

from __future__ import annotations

import numpy as np

from headstart import plugins
from headstart.metrics.classification import log_loss
from headstart.solvers import Solver, standardised, temperature

FOLDS = 5


def probabilities(
    vectors: np.ndarray, labels: np.ndarray, num_classes: int, folds: np.ndarray, seed: int = 0
) -> np.ndarray:
    """(n, num_classes): each row by a logistic head that saw neither the sample nor its copies.

    The strength of the penalty is the one with the least out-of-fold log loss at the temperature that suits it best;
    the same temperature makes the probabilities mean what they say.

    Args:
        vectors: (n, dim) float32.
        labels: (n,) class numbers; every class stands in two folds at least.
        folds: (n,) fold numbers, see ``folds_of``.
    """
    solver: Solver = plugins.variant("solvers", "logistic", Solver)()
    table = standardised(vectors, labels, num_classes)
    outside = [np.empty((len(labels), num_classes)) for _ in solver.grid]
    for fold in np.unique(folds):
        inside, held = folds != fold, folds == fold
        found = solver.logits(table.rows(inside), table.x[held], solver.grid, seed)
        for logits, values in zip(outside, found, strict=True):
            logits[held] = values
    divisors = [temperature(logits, labels) for logits in outside]
    losses = [log_loss(logits / divisor, labels) for logits, divisor in zip(outside, divisors, strict=True)]
    best = int(np.argmin(losses))
    shifted = outside[best] / divisors[best]
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def folds_of(labels: np.ndarray, units: np.ndarray, seed: int) -> np.ndarray:
    """(n,) fold numbers: whole units, each class spread evenly; the unit's first sample decides where it is counted.

    Args:
        labels: (n,) class numbers.
        units: (n,) samples with one number stay in one fold: a copy with the same wrong label would vouch for it.
    """
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    kinds = labels[first]
    generator, folds = np.random.default_rng(seed), np.empty(len(first), int)
    for kind in np.unique(kinds):
        rows = generator.permutation(np.flatnonzero(kinds == kind))
        folds[rows] = (np.arange(len(rows)) + generator.integers(FOLDS)) % FOLDS
    return folds[place]


def judged(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,) bool: samples of the classes that stand in two folds at least; a head knows no others."""
    pairs = np.unique(np.stack([labels, folds], axis=1), axis=0)
    classes, spread = np.unique(pairs[:, 0], return_counts=True)
    return np.isin(labels, classes[spread > 1])
