"""Scorers: how well a model's features will serve a task, judged without training it. One file is one scorer.

A scorer is a module with ::

    NEEDS: frozenset[str]    # fields of ``table.origin`` it cannot do without, such as {"source_probs"}
    COST: int                # 1 is cheap enough for every candidate; 2 is for the few that are left
    def score(table: FeatureTable) -> float    # higher is better; scores of two scorers cannot be compared

They are NumPy only, compute in float64, and hold no more than a few matrices of min(samples, features) squared.
"""

from __future__ import annotations

import numpy as np

from headstart import plugins
from headstart.errors import DataError, Incompatible
from headstart.features.table import FeatureTable

REASONS = {
    "source_probs": "the model has no classifier of its own for what it was trained on",
    "parameters": "its number of parameters is not known",
    "published": "no published accuracy is known",
}


def names() -> tuple[str, ...]:
    """The scorers there are."""
    return plugins.names("ranking.scorers")


def score(name: str, table: FeatureTable) -> float:
    """What one scorer says of features with labels.

    Raises:
        Incompatible: the scorer cannot judge them; the message is the reason.
        DataError: there are no labels, or a single class.
        ConfigError: there is no such scorer.
    """
    scorer = plugins.load("ranking.scorers", name)
    for need in sorted(scorer.NEEDS):
        if getattr(table.origin, need) is None:
            raise Incompatible(REASONS[need])
    checked(table)
    found = float(scorer.score(table))
    if not np.isfinite(found):
        raise Incompatible("the score is not finite: too few samples for it")
    return found


def checked(table: FeatureTable) -> None:
    """Refuse features or labels that nothing can be learned from.

    Raises:
        DataError: there are no labels, or a single class.
        Incompatible: the features are constant or not finite.
    """
    class_numbers(table)
    if not np.isfinite(table.vectors).all():
        raise Incompatible("the features have values that are not finite")
    if len(table) < 2 or not np.ptp(table.vectors, axis=0).any():
        raise Incompatible("the features are constant: the model says the same of every sample")


def class_numbers(table: FeatureTable) -> tuple[np.ndarray, int]:
    """Class numbers (n,) in the order of the sorted class names, and how many classes there are.

    Raises:
        DataError: there are no labels, or a single class.
    """
    if table.labels is None:
        raise DataError("The samples carry no labels, so nothing tells good features from bad ones; add labels.")
    found, numbers = np.unique(np.asarray(table.labels, dtype=str), return_inverse=True)
    if len(found) < 2:
        raise DataError("The samples are all of one class; at least two classes are needed to tell models apart.")
    return numbers, len(found)


def thinned(numbers: np.ndarray, most: int) -> np.ndarray:
    """The places of at most ``most`` samples, spread evenly over the classes; all of them where they are fewer."""
    if len(numbers) <= most:
        return np.arange(len(numbers))
    order = np.argsort(np.random.default_rng(0).permutation(len(numbers)), kind="stable")
    order = order[np.argsort(numbers[order], kind="stable")]  # by class, at random inside
    return np.sort(order[np.linspace(0, len(order) - 1, most).round().astype(int)])
