"""The log expected empirical prediction, from whatever gives probabilities: source classes or clusters."""

from __future__ import annotations

import numpy as np


def expected(source: np.ndarray, numbers: np.ndarray, num_classes: int) -> float:
    """LEEP from probabilities (n, source classes), rows of sum 1, and class numbers (n,)."""
    source = source.astype(np.float64)
    joint = np.stack([source[numbers == c].sum(0) for c in range(num_classes)])  # (k, source classes), times n
    given = joint / np.maximum(joint.sum(0), np.finfo(np.float64).tiny)  # p(label | source class)
    likely = (source * given[numbers]).sum(1)
    return float(np.log(np.maximum(likely, np.finfo(np.float64).tiny)).mean())
