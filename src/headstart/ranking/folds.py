"""Folds and parts of the samples that all candidates share, so that they can be compared pair by pair."""

from __future__ import annotations

import numpy as np

FOLDS = 5


def folds(numbers: np.ndarray, seed: int = 0, units: np.ndarray | None = None, most: int = FOLDS) -> np.ndarray:
    """The fold of each sample (n,), stratified; samples of one unit (copies, a patient) share a fold.

    A class of fewer samples than folds is in some of them only. A sample that stands alone in its class is never
    answered rightly, whatever the model.
    """
    rng = np.random.default_rng(seed)
    number = max(2, min(most, len(numbers)))
    found = np.full(len(numbers), -1)
    if units is None or len(np.unique(units)) == len(units):
        start = 0
        for label in np.unique(numbers):
            rows = rng.permutation(np.flatnonzero(numbers == label))
            found[rows] = (np.arange(len(rows)) + start) % number
            start += len(rows)  # the next class goes on where this one ended, so that folds are of equal size
        return found
    num_classes = int(numbers.max()) + 1
    held = np.zeros((number, num_classes))
    weight = 1 / np.maximum(np.bincount(numbers, minlength=num_classes), 1)
    names, inverse, sizes = np.unique(units, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(names))
    for unit in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        rows = np.flatnonzero(inverse == unit)
        own = np.bincount(numbers[rows], minlength=num_classes)
        fullness = (held * own * weight).sum(1) + 1e-6 * held.sum(1)
        place = int(fullness.argmin())
        held[place] += own
        found[rows] = place
    return found


def nested(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of the samples (n,) such that every beginning of it holds the classes in about their shares."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (rng.permutation(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")
