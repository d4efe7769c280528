"""NCE: the negative conditional entropy of the labels, given which source class the model's classifier answers.

Paper: Tran et al. 2019, arXiv 1908.08142. Reference code: negative_conditional_entropy in
github.com/thuml/Transfer-Learning-Library, tllib/ranking/nce.py.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers

NEEDS = frozenset({"source_probs"})
COST = 1


def score(table: FeatureTable) -> float:
    """-H(label | source class), in nats; at most 0."""
    assert table.origin.source_probs is not None
    return conditional(table.origin.source_probs.argmax(1), *class_numbers(table))


def conditional(answers: np.ndarray, numbers: np.ndarray, num_classes: int) -> float:
    """-H(label | answer) from two lists of numbers (n,)."""
    pairs = np.unique(answers.astype(np.int64) * num_classes + numbers, return_counts=True)
    answered = np.bincount(pairs[0] // num_classes, weights=pairs[1])
    shares = pairs[1] / len(numbers)
    return float((shares * np.log(pairs[1] / answered[pairs[0] // num_classes])).sum())
