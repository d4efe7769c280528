"""LogME: the evidence of a Bayesian linear model of each class, its prior and noise chosen to make it largest.

Papers: You et al. 2021, arXiv 2102.11005; You et al. 2021, arXiv 2110.10545 (the fixed-point iteration used here).
Reference code: LogME.py in github.com/thuml/LogME. With more samples than features the value is that of its fixed-point
version. With fewer, that version leaves log(alpha) / 2 in the evidence for every direction that the samples do not
span, where the first paper's version and the formula do not; here they are left out, so that more features are no
merit in themselves.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers
from headstart.ranking.scorers._spectrum import spectrum

NEEDS: frozenset[str] = frozenset()
COST = 1
MOST_STEPS = 11
TOLERANCE = 1e-3  # relative change of alpha / beta; these three are the reference's
EPSILON = 1e-5


def score(table: FeatureTable) -> float:
    """The mean log evidence of a class, per sample, in nats."""
    return float(evidences(table.vectors, *class_numbers(table)).mean())


def evidences(x: np.ndarray, numbers: np.ndarray, num_classes: int) -> np.ndarray:
    """The log evidence per sample (k,) of each class from features (n, d) and class numbers (n,)."""
    n, sigma, projected, counts = len(x), *spectrum(x, numbers, num_classes, centred=False)
    squares = projected**2 / sigma[:, None]  # (r, k): squared coordinates of the class in the left singular vectors
    rest = np.maximum(counts - squares.sum(0), 0)  # of the class, outside of what features can say
    found = np.empty(num_classes)
    ratio = np.ones(num_classes)  # alpha / beta: precision of the weights over that of the noise
    open_ = np.arange(num_classes)
    for step in range(MOST_STEPS):
        t, x2 = ratio[open_], squares[:, open_]
        shrink = sigma[:, None] / (sigma[:, None] + t)  # (r, open)
        gamma = shrink.sum(0)
        m2 = (shrink**2 * x2 / sigma[:, None]).sum(0)
        res2 = ((1 - shrink) ** 2 * x2).sum(0) + rest[open_]
        alpha, beta = gamma / (m2 + EPSILON), (n - gamma) / (res2 + EPSILON)
        ratio[open_] = alpha / beta
        settled = np.abs(ratio[open_] - t) / t <= TOLERANCE
        if step == MOST_STEPS - 1:
            settled[:] = True
        a, b = alpha[settled], beta[settled]
        spread = np.log(a + b * sigma[:, None]).sum(0)
        found[open_[settled]] = 0.5 * (
            len(sigma) * np.log(a) + n * np.log(b) - spread - b * res2[settled] - a * m2[settled] - n * np.log(2 * np.pi)
        )
        open_ = open_[~settled]
        if not len(open_):
            break
    return found / n
