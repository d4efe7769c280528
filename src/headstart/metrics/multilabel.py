"""Metrics of several labels a sample. What nobody labelled (NaN) does not count."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.metrics.resampled import intervals


def merits(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) F1 of each sample's labels; 1 where it has none and none is predicted, NaN where nothing is labelled.

    Args:
        predicted: (n, k) booleans.
        actual: (n, k) of 0, 1 and NaN.
    """
    present = np.isfinite(actual)
    both = (predicted & (actual == 1)).sum(1)
    sizes = (predicted & present).sum(1) + (actual == 1).sum(1)
    found = np.divide(2.0 * both, sizes, out=np.ones(len(actual)), where=sizes > 0)
    return np.where(present.any(1), found, np.nan)


def average_precision(scores: np.ndarray, actual: np.ndarray) -> float:
    """Of one label (n,): the mean precision at each sample that has it, the surest first; ties count as one step."""
    positives = int((actual == 1).sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = (actual[order] == 1).cumsum()
    last = np.append(np.diff(scores[order]) != 0, True)  # of those with one score
    precision, recall = hits[last] / (np.flatnonzero(last) + 1), hits[last] / positives
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def f1s(predicted: np.ndarray, actual: np.ndarray) -> tuple[float, float]:
    """Micro and macro F1; the latter over the labels that occur."""
    both = (predicted & (actual == 1)).sum(0)
    sizes = (predicted & np.isfinite(actual)).sum(0) + (actual == 1).sum(0)
    occurs = (actual == 1).any(0)
    each = np.divide(2.0 * both, sizes, out=np.zeros(len(both)), where=sizes > 0)
    macro = float(each[occurs].mean()) if occurs.any() else float("nan")
    return (float(2 * both.sum() / sizes.sum()) if sizes.sum() else 1.0), macro


def thresholds(probabilities: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(k,) the threshold of each label that has the highest F1 on these (validation) samples.

    Lipton et al. 2014, arXiv 1402.1892. Halfway between two probabilities; of equally good ones the nearest to one
    half. A label that fewer than 3 of them have keeps one half: so few say nothing of where to cut.
    """
    found = np.full(probabilities.shape[1], 0.5)
    for place in range(len(found)):
        known = np.isfinite(actual[:, place])
        values, truth = probabilities[known, place], actual[known, place] == 1
        if truth.sum() < 3 or truth.all():
            continue
        order = np.argsort(-values, kind="stable")
        values, hits = values[order], truth[order].cumsum()
        f1 = 2 * hits / (np.arange(1, len(values) + 1) + truth.sum())
        cuts = np.append((values[:-1] + values[1:]) / 2, values[-1] / 2)
        f1[:-1][values[:-1] == values[1:]] = -1  # nothing can be cut between equals
        best = np.flatnonzero(f1 >= f1.max() - 1e-12)
        found[place] = cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]]
    return found


def scores(
    probabilities: np.ndarray, actual: np.ndarray, cuts: np.ndarray, labels: tuple[str, ...]
) -> dict[str, Any]:
    """F1 (samples, micro, macro), mean average precision and the share of labels right, each with its 95 % interval.

    Args:
        probabilities: (n, k) of each label.
        actual: (n, k) of 0, 1 and NaN.
        cuts: (k,) from which probability on a label is predicted.
    """
    predicted, present = probabilities >= cuts, np.isfinite(actual)

    def basic(rows: np.ndarray) -> dict[str, float]:
        some, truth = predicted[rows], actual[rows]
        micro, macro = f1s(some, truth)
        known = present[rows]
        return {"f1_samples": float(np.nanmean(merits(some, truth))) if known.any() else float("nan"),
                "f1_micro": micro, "f1_macro": macro,
                "labels_right": float(((some == (truth == 1)) & known).sum() / max(1, known.sum()))}  # fmt: skip

    def precision(rows: np.ndarray) -> dict[str, float]:
        each = [average_precision(probabilities[rows, i], actual[rows, i]) for i in range(len(labels))]
        known = [value for value in each if np.isfinite(value)]
        return {"mean_average_precision": float(np.mean(known)) if known else float("nan")}

    whole = np.arange(len(actual))
    found = {**basic(whole), **precision(whole)}
    pairs = {**intervals(basic, len(actual)), **(intervals(precision, len(actual)) if len(labels) <= 40 else {})}
    return {
        **{name: value if np.isfinite(value) else None for name, value in found.items()},
        **{f"{name}_interval": pair for name, pair in pairs.items()},
        "per_class": {name: _label(probabilities[:, i], actual[:, i], cuts[i]) for i, name in enumerate(labels)},
    }


def _label(probabilities: np.ndarray, actual: np.ndarray, cut: float) -> dict[str, Any]:
    known = np.isfinite(actual)
    said, truth = probabilities[known] >= cut, actual[known] == 1
    both, area = int((said & truth).sum()), average_precision(probabilities[known], actual[known])
    precision, recall = both / max(1, said.sum()), both / max(1, truth.sum())
    return {"precision": float(precision), "recall": float(recall),
            "f1": float(2 * both / (said.sum() + truth.sum())) if both else 0.0, "support": int(truth.sum()),
            "average_precision": area if np.isfinite(area) else None, "threshold": float(cut)}  # fmt: skip
