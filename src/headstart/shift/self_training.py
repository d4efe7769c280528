"""Self-training: a classifier teaches itself the target by its own confident predictions there.

Lee: Pseudo-Label, ICML 2013 workshop on Challenges in Representation Learning; the growing share follows Zou et al.:
Unsupervised Domain Adaptation via Class-Balanced Self-Training, ECCV 2018, arXiv 1810.07911, section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from headstart.errors import ConfigError
from headstart.shift import ShiftClassifier
from headstart.shift._inputs import Domains, Rows, stacked
from headstart.shift._label_shift import default_classifier


class SelfTraining(ShiftClassifier):
    """Fit on the source; then, round by round, on the source and the most confident target rows of each class.

    The share of target rows that are trusted grows evenly up to ``largest_share`` in the last round; of each predicted
    class it takes the same share, so that an easy class does not take over. Beware: where the first classifier is mostly
    wrong on the target, this makes it surer of its mistakes.

    Args:
        classifier: with ``predict_proba`` and ``sample_weight``; None: logistic regression.
        num_rounds: after the first fit.
        largest_share: of the target rows, in the last round.
        source_weight: of source rows in the last round, falling evenly from 1; target rows weigh 1.

    Attributes:
        target_labels_: (num_target,) labels as the last classifier gives them.
    """

    def __init__(
        self, classifier: Any = None, num_rounds: int = 5, largest_share: float = 0.8, source_weight: float = 1.0
    ) -> None:
        self.classifier = classifier
        self.num_rounds = num_rounds
        self.largest_share = largest_share
        self.source_weight = source_weight

    def _learn(self, domains: Domains) -> None:
        if self.num_rounds < 0 or not 0 < self.largest_share <= 1 or not 0 <= self.source_weight <= 1:
            raise ConfigError(
                f"num_rounds is {self.num_rounds} (at least 0), largest_share {self.largest_share} (above 0, at most 1), "
                f"source_weight {self.source_weight} (0 to 1)."
            )
        codes, _ = domains.labels
        classifier = default_classifier() if self.classifier is None else self.classifier
        self.classifier_ = clone(classifier).fit(domains.source, codes)
        rounds = 0 if domains.single else self.num_rounds
        for i in range(1, rounds + 1):
            probabilities = self.classifier_.predict_proba(domains.target)
            trusted = most_confident(probabilities, self.largest_share * i / rounds)
            weight = 1 + (self.source_weight - 1) * i / rounds
            self.classifier_ = clone(classifier).fit(
                stacked([domains.source, domains.target[trusted]]),
                np.concatenate([codes, self.classifier_.classes_[probabilities[trusted].argmax(1)]]),
                sample_weight=np.concatenate([np.full(len(codes), max(weight, 1e-6)), np.ones(len(trusted))]),
            )
        self.target_labels_ = self.classes_[self.classifier_.predict(domains.target)]

    def _probabilities(self, x: Rows) -> np.ndarray:
        return self.classifier_.predict_proba(x)


def most_confident(probabilities: np.ndarray, share: float) -> np.ndarray:
    """Numbers of the rows (num, num_classes) that are surest, the same share of every predicted class, ascending."""
    guesses, sureness = probabilities.argmax(1), probabilities.max(1)
    chosen = []
    for c in np.unique(guesses):
        rows = np.flatnonzero(guesses == c)
        chosen.append(rows[np.argsort(-sureness[rows], kind="stable")[: int(np.ceil(share * len(rows)))]])
    return np.sort(np.concatenate(chosen))
