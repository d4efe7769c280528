"""Metrics of classification; counts and averages come from scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support


def scores(probabilities: np.ndarray, actual: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Everything a report says about predictions.

    Args:
        probabilities: (n, k), rows sum to one.
        actual: (n,) class numbers.
        classes: the k class names.

    Returns:
        accuracy, its 95 % interval, macro precision, recall and F1 over the classes that occur,
        calibration error, the same per class, and the confusion matrix (rows actual, columns predicted).
    """
    predicted = probabilities.argmax(1)
    numbers = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        actual, predicted, labels=numbers, zero_division=0.0
    )
    present = support > 0
    right = int((predicted == actual).sum())
    return {
        "accuracy": right / len(actual),
        "accuracy_interval": list(wilson(right, len(actual))),
        "precision": float(precision[present].mean()),
        "recall": float(recall[present].mean()),
        "f1": float(f1[present].mean()),
        "calibration_error": calibration_error(probabilities, actual),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(classes, precision, recall, f1, support, strict=True)
        },
        "confusion": confusion_matrix(actual, predicted, labels=numbers).tolist(),
    }


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): honest for small samples and near 0 and 1."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / total + spread / (4 * total))
    # at 0 and 1 rounding would leave the share itself just outside
    return float(max(0.0, min(share, centre - half))), float(min(1.0, max(share, centre + half)))


def calibration_error(probabilities: np.ndarray, actual: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599): mean gap of confidence and accuracy."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == actual
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))


def log_loss(logits: np.ndarray, actual: np.ndarray) -> float:
    """Mean negative log-likelihood of (n, k) logits, in nats."""
    shifted = logits - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(actual)), actual]).mean())
