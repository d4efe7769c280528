"""Confident learning: which labels are probably wrong, and how often each class is taken for each other.

Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, arXiv 1911.00068.
Reference code: github.com/cleanlab/cleanlab. The equations are short, so they stand here; a test compares the results
with those of that library where it is installed. (Its releases up to 2.7 are under the AGPL, and so is one file of 2.9.)
"""

from __future__ import annotations

import numpy as np


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """t_j, the mean probability of class j over the samples labelled j (eq. 2); infinite for a class without samples.

    Args:
        probabilities: (n, classes), out of fold: no sample may be known to the model that judges it.
        labels: (n,) class numbers.

    Returns:
        (classes,)
    """
    num_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, own, minlength=num_classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_classes(probabilities: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(n,) the most probable among the classes whose probability reaches their threshold; -1 where none does (eq. 1)."""
    reached = np.where(probabilities >= limits - 1e-9, probabilities, -1.0)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The joint distribution of given and true labels, (classes, classes), sum 1 (eq. 1 and 3).

    Entry (i, j) of the count is how many samples labelled i are confidently j. Its rows are brought to the number of
    samples of each class before all is divided by n. A class without a confident sample counts as right.
    """
    num_classes = probabilities.shape[1]
    believed = confident_classes(probabilities, thresholds(probabilities, labels))
    sure = believed >= 0
    count = np.zeros((num_classes, num_classes))
    np.add.at(count, (labels[sure], believed[sure]), 1)
    given = np.bincount(labels, minlength=num_classes)
    empty = count.sum(axis=1) == 0
    count[empty, empty] = 1
    scaled = count / count.sum(axis=1, keepdims=True) * given[:, None]
    return np.asarray(scaled / max(1, len(labels)))


def suspicious(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Places of the labels that are probably wrong, the surest first: both rules of the paper must agree.

    - confident joint (section 3.2, C): the sample is confidently of another class
    - prune by noise rate (PBNR): of the pair (i, j), the n * Q[i, j] samples labelled i with the largest margin
      p_j - p_i

    Returns:
        (m,) int64
    """
    n = len(labels)
    believed = confident_classes(probabilities, thresholds(probabilities, labels))
    off = (believed >= 0) & (believed != labels)
    expected = np.rint(joint(probabilities, labels) * n).astype(int)
    own = probabilities[np.arange(n), labels]
    pruned = np.zeros(n, bool)
    for i in np.unique(labels[off]):
        rows = np.flatnonzero(labels == i)
        for j in np.unique(believed[rows][off[rows]]):
            margin = probabilities[rows, j] - own[rows]
            chosen = rows[np.argsort(-margin, kind="stable")[: expected[i, j]]]
            pruned[chosen] = True
    found = np.flatnonzero(off & pruned & (probabilities.argmax(axis=1) != labels))
    return found[np.argsort(own[found] - probabilities[found].max(axis=1), kind="stable")].astype(np.int64)
