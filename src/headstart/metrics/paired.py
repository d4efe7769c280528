"""How sure a difference between two models is that were asked about the same samples."""

from __future__ import annotations

import numpy as np

DRAWS = 4000
AT_ONCE = 500_000  # numbers drawn at once, 4 MB
LEAST = 25  # samples; with fewer, the tails of the bootstrap say nothing


def interval(differences: np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Of the mean of paired differences (n,): the percentile bootstrap (Efron and Tibshirani 1993, chapter 16).

    Fewer than ``LEAST`` differences give minus and plus infinity: nothing is known.
    """
    if len(differences) < LEAST:
        return -np.inf, np.inf
    rng = np.random.default_rng(seed)
    number = len(differences)
    chunk = max(1, AT_ONCE // number)
    means = np.concatenate([differences[rng.integers(number, size=(min(chunk, DRAWS - begun), number))].mean(1)
                            for begun in range(0, DRAWS, chunk)])  # fmt: skip
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def log_losses(logits: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) negative log-likelihood of each row of logits (n, k), in nats."""
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(actual)), actual])
