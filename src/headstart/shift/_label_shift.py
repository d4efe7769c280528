"""What the label-shift methods share: honest predictions for the source, and a classifier for another class balance."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from headstart.errors import DataError
from headstart.shift._inputs import Domains


def default_classifier() -> Any:
    """The classifier of every method that is not given one."""
    return LogisticRegression(max_iter=1000)


def held_out_probabilities(classifier: Any, domains: Domains, num_folds: int, seed: int) -> np.ndarray:
    """(num_source, num_classes) for source rows by classifiers that have not seen them.

    Raises:
        DataError: a class of the source has a single row.
    """
    codes, num_classes = domains.labels
    least = int(np.bincount(codes, minlength=num_classes).min())
    if least < 2:
        raise DataError(
            "A class of the source has a single row; at least 2 are needed, one to learn from and one to see how often "
            "it is mistaken. Leave the class out or merge it with another."
        )
    out = np.zeros((len(codes), num_classes))
    folds = StratifiedKFold(min(num_folds, least), shuffle=True, random_state=seed)
    for inside, outside in folds.split(domains.source, codes):
        out[outside] = (
            clone(classifier).fit(domains.source[inside], codes[inside]).predict_proba(domains.source[outside])
        )
    return out


def balance(codes: np.ndarray, num_classes: int) -> np.ndarray:
    """(num_classes,) the share of every class."""
    return np.bincount(codes, minlength=num_classes) / len(codes)


def rebalanced(probabilities: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """(num, num_classes) p(class | x) under the source -> under a domain with ``ratio`` (num_classes,) as many of each."""
    out = probabilities * ratio
    return out / np.maximum(out.sum(1, keepdims=True), np.finfo(float).tiny)
