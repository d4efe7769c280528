"""Metrics of grades in an order: how far off, and how often right."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from headstart.metrics.classification import wilson
from headstart.metrics.resampled import intervals


def median_grade(probabilities: np.ndarray) -> np.ndarray:
    """(n,) the grade at which the cumulated probability (n, k) reaches one half: it has the least expected distance."""
    return (probabilities.cumsum(1) >= 0.5 - 1e-12).argmax(1)


def merits(predicted: np.ndarray, actual: np.ndarray, num_grades: int) -> np.ndarray:
    """(n,) 1 less the distance in grades, as a share of the whole scale."""
    return 1 - np.abs(predicted - actual) / (num_grades - 1)


def kappa(predicted: np.ndarray, actual: np.ndarray, num_grades: int) -> float:
    """Quadratic weighted kappa (Cohen 1968, Psychological Bulletin 70(4)); NaN where all agree on a single grade."""
    distance = np.square(np.subtract.outer(np.arange(num_grades), np.arange(num_grades)))
    seen = np.bincount(actual * num_grades + predicted, minlength=num_grades**2).reshape(num_grades, num_grades)
    by_chance = np.outer(seen.sum(1), seen.sum(0)) / max(1, len(actual))
    expected = float((distance * by_chance).sum())
    return 1 - float((distance * seen).sum()) / expected if expected else float("nan")


def scores(predicted: np.ndarray, actual: np.ndarray, grades: tuple[str, ...]) -> dict[str, Any]:
    """Closeness, mean absolute error in grades, quadratic kappa and accuracy with 95 % intervals; each grade; confusion.

    Args:
        predicted, actual: (n,) grade numbers.
    """
    k = len(grades)

    def basic(rows: np.ndarray) -> dict[str, float]:
        some, right = predicted[rows], actual[rows]
        distance = float(np.abs(some - right).mean())
        return {"closeness": 1 - distance / (k - 1), "mae": distance, "kappa": kappa(some, right, k)}

    found = basic(np.arange(len(actual)))
    precision, recall, f1, support = precision_recall_fscore_support(
        actual, predicted, labels=np.arange(k), zero_division=0.0
    )
    right = int((predicted == actual).sum())
    return {
        **{name: value if np.isfinite(value) else None for name, value in found.items()},
        **{f"{name}_interval": pair for name, pair in intervals(basic, len(actual)).items()},
        "accuracy": right / len(actual),
        "accuracy_interval": list(wilson(right, len(actual))),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(grades, precision, recall, f1, support, strict=True)
        },
        "confusion": confusion_matrix(actual, predicted, labels=np.arange(k)).tolist(),
    }
