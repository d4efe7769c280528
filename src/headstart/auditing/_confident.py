"""Confident learning: which labels are probably wrong, and how often each class is taken for each other; by cleanlab.

Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, arXiv 1911.00068.
Releases of cleanlab before 2.8 are under the AGPL; those from there on, which the extra ``audit`` asks for, under Apache-2.0.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import MissingExtra


def require() -> None:
    """Raises:
    MissingExtra: cleanlab is not installed.
    """
    try:
        import cleanlab  # noqa: F401
    except ImportError:
        raise MissingExtra("cleanlab", "audit", "Looking for wrong labels") from None


def joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The estimated joint distribution of given and true labels, (classes, classes), sum 1; its trace is right.

    Args:
        probabilities: (n, classes), out of fold: no sample may be known to the model that judges it.
        labels: (n,) class numbers, each class at least once.
    """
    from cleanlab.count import estimate_joint

    return np.asarray(estimate_joint(labels, probabilities))


def suspicious(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(m,) places of the labels that are probably wrong, the least probable ones first.

    Both prunings of the paper must agree, by class and by noise rate. With 80 of 400 labels of clothing flipped, they name 107,
    70 of them flipped; by noise rate alone it is 120 and 71.
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
    places = np.flatnonzero(found)
    own = probabilities[places, labels[places]]
    return places[np.argsort(own - probabilities[places].max(axis=1), kind="stable")].astype(np.int64)
