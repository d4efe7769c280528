"""Intervals of any metric of one model: the percentile bootstrap over samples (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS = 1000
LEAST = 10  # samples; with fewer nothing is claimed


def intervals(
    metrics: Callable[[np.ndarray], dict[str, float]], num_samples: int, *, confidence: float = 0.95, seed: int = 0
) -> dict[str, list[float]]:
    """``name -> [low, high]`` for every metric that ``metrics(rows)`` gives for row numbers drawn with replacement.

    A metric that is no number in some draws (a label that none of them has) is judged by the others. With fewer than
    ``LEAST`` samples there are no intervals.
    """
    if num_samples < LEAST:
        return {}
    rng = np.random.default_rng(seed)
    drawn = [metrics(rng.integers(num_samples, size=num_samples)) for _ in range(DRAWS)]
    tail = (1 - confidence) / 2
    found = {}
    for name in drawn[0]:
        values = np.array([entry[name] for entry in drawn])
        values = values[np.isfinite(values)]
        if len(values) > DRAWS // 2:
            found[name] = [float(bound) for bound in np.quantile(values, [tail, 1 - tail])]
    return found
