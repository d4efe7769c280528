"""MLLS: the class balance under which the target's predictions are most likely, by expectation maximisation.

Saerens, Latinne, Decaestecker: Adjusting the Outputs of a Classifier to New a Priori Probabilities, Neural Computation
14(1), 2002, equations 2.4 and 4.4. Probabilities are first calibrated by a temperature and a bias for each class
(Alexandari, Kundaje, Shrikumar: Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
Adaptation, ICML 2020, arXiv 1901.06852): without it the balance is biased.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone

from headstart.shift import ShiftClassifier
from headstart.shift._inputs import Domains, Rows
from headstart.shift._label_shift import balance, default_classifier, held_out_probabilities, rebalanced


class MLLS(ShiftClassifier):
    """A classifier corrected for another class balance, where p(x | class) is the same in both domains.

    Args:
        classifier: with ``predict_proba``; None: logistic regression.
        num_folds: of the source, for the calibration.
        seed: of the folds.

    Attributes:
        ratio_: (num_classes,) p_target(class) / p_source(class).
        target_balance_: (num_classes,) the estimated share of each class in the target.
        temperature_, bias_: of the calibration; bias_ (num_classes,).
    """

    def __init__(self, classifier: Any = None, num_folds: int = 5, seed: int = 0) -> None:
        self.classifier = classifier
        self.num_folds = num_folds
        self.seed = seed

    def _learn(self, domains: Domains) -> None:
        codes, num_classes = domains.labels
        classifier = default_classifier() if self.classifier is None else self.classifier
        self.classifier_ = clone(classifier).fit(domains.source, codes)
        shares = balance(codes, num_classes)
        self.temperature_, self.bias_, self.target_balance_ = 1.0, np.zeros(num_classes), shares
        if not domains.single:
            held_out = held_out_probabilities(classifier, domains, self.num_folds, self.seed)
            self.temperature_, self.bias_ = calibration(held_out, codes)
            self.target_balance_ = mlls_balance(self._calibrated(domains.target), shares)
        self.ratio_ = self.target_balance_ / shares

    def _calibrated(self, x: Rows) -> np.ndarray:
        return softmax(_logits(self.classifier_.predict_proba(x)) / self.temperature_ + self.bias_, axis=1)

    def _probabilities(self, x: Rows) -> np.ndarray:
        return rebalanced(self._calibrated(x), self.ratio_)


def mlls_balance(target: np.ndarray, source_balance: np.ndarray, num_iterations: int = 1000) -> np.ndarray:
    """The share of each class (num_classes,) in the target from calibrated probabilities (num_target, num_classes).

    A class that the source lacks stays without a share: nothing is known of it.
    """
    shares, known = source_balance, source_balance > 0
    for _ in range(num_iterations):
        ratio = np.divide(shares, source_balance, out=np.zeros(len(shares)), where=known)
        following = rebalanced(target, ratio).mean(0)
        if np.abs(following - shares).max() < 1e-9:
            break
        shares = following
    return following


def calibration(probabilities: np.ndarray, codes: np.ndarray) -> tuple[float, np.ndarray]:
    """Temperature and biases (num_classes,) that make held-out probabilities (num, num_classes) most likely."""
    logits, num_classes = _logits(probabilities), probabilities.shape[1]
    one_hot = np.eye(num_classes)[codes]

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        z = logits * np.exp(-p[0]) + p[1:]
        slope = (softmax(z, axis=1) - one_hot) / len(codes)
        gradient = np.append(-np.exp(-p[0]) * (slope * logits).sum(), slope.sum(0) + 1e-6 * p[1:])
        return -float((log_softmax(z, axis=1) * one_hot).sum()) / len(codes) + 5e-7 * float(p[1:] @ p[1:]), gradient

    bounds = [(-3.0, 3.0), *[(-20.0, 20.0)] * num_classes]
    found = scipy.optimize.minimize(loss, np.zeros(num_classes + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), found[1:]


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-12))
