"""BBSE: the class balance of the target from how often a classifier mistakes which class for which.

Lipton, Wang, Smola: Detecting and Correcting for Label Shift with Black Box Predictors, ICML 2018, arXiv 1802.03916,
equation 3 and algorithm 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from headstart.progress import say
from headstart.shift import ShiftClassifier
from headstart.shift._inputs import Domains, Rows
from headstart.shift._label_shift import balance, default_classifier, held_out_probabilities, rebalanced


class BBSE(ShiftClassifier):
    """A classifier corrected for another class balance, where p(x | class) is the same in both domains.

    w = C^(-1) m, where C_ij is the share of held-out source rows of class j that are predicted as i, and m_i the share
    of target rows predicted as i; then p_target(class) = w p_source(class). Negative entries become 0. Probabilities are
    multiplied by w and normalised, which needs no new training.

    Args:
        classifier: with ``predict_proba``; None: logistic regression.
        num_folds: of the source, for C.
        seed: of the folds.

    Attributes:
        ratio_: (num_classes,) w.
        target_balance_: (num_classes,) the estimated share of each class in the target.
    """

    def __init__(self, classifier: Any = None, num_folds: int = 5, seed: int = 0) -> None:
        self.classifier = classifier
        self.num_folds = num_folds
        self.seed = seed

    def _learn(self, domains: Domains) -> None:
        codes, num_classes = domains.labels
        classifier = default_classifier() if self.classifier is None else self.classifier
        self.classifier_ = clone(classifier).fit(domains.source, codes)
        self.ratio_ = np.ones(num_classes)
        if not domains.single:
            held_out = held_out_probabilities(classifier, domains, self.num_folds, self.seed)
            self.ratio_ = bbse_ratio(held_out, codes, self.classifier_.predict_proba(domains.target))
        self.target_balance_ = self.ratio_ * balance(codes, num_classes)

    def _probabilities(self, x: Rows) -> np.ndarray:
        return rebalanced(self.classifier_.predict_proba(x), self.ratio_)


def bbse_ratio(source: np.ndarray, codes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """p_target(class) / p_source(class), (num_classes,), from probabilities of any classifier.

    Args:
        source: (num_source, num_classes) for source rows that it was not trained on.
        codes: (num_source,) their true class numbers.
        target: (num_target, num_classes).
    """
    num_classes = source.shape[1]
    joint = np.zeros((num_classes, num_classes))
    np.add.at(joint, (source.argmax(1), codes), 1 / len(codes))
    predicted = np.bincount(target.argmax(1), minlength=num_classes) / len(target)
    singular = np.linalg.svd(joint, compute_uv=False)
    if singular[-1] < 1e-3 * singular[0]:
        say("BBSE: the classifier hardly tells some classes apart, so the class balance of the target is uncertain.")
    ratio = np.maximum(np.linalg.lstsq(joint, predicted, rcond=1e-3)[0], 0)
    shares = balance(codes, num_classes)
    total = float(ratio @ shares)
    return ratio / total if total > 0 else np.ones(num_classes)
