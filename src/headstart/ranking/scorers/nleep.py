"""N-LEEP: LEEP with clusters of the features in the place of source classes, so that it needs no classifier.

Paper: Li et al. 2021, arXiv 2011.11200. The features are reduced by PCA to 80 % of their variance; a mixture of
Gaussians, five a class, gives the clusters. The covariances are diagonal here (full ones need more samples than
a small data set has), and the mixture begins from k-means++ (Arthur and Vassilvitskii 2007) with a fixed seed.
"""

from __future__ import annotations

import numpy as np

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers, thinned
from headstart.ranking.scorers._expected import expected
from headstart.ranking.scorers._projection import components

NEEDS: frozenset[str] = frozenset()
COST = 2
ENERGY = 0.8  # of the variance
MOST_COMPONENTS = 128  # principal components
MOST_ROWS = 4000
A_CLASS = 5  # clusters
STEPS = 30


def score(table: FeatureTable) -> float:
    """The mean log expected empirical prediction from clusters, in nats; at most 0."""
    numbers, _ = class_numbers(table)
    rows = thinned(numbers, MOST_ROWS)
    numbers = np.unique(numbers[rows], return_inverse=True)[1]
    num_classes = int(numbers.max()) + 1
    x = components(table.vectors[rows], MOST_COMPONENTS, ENERGY)
    return expected(mixture(x, max(2, min(A_CLASS * num_classes, len(x) // 3))), numbers, num_classes)


def mixture(x: np.ndarray, num_clusters: int) -> np.ndarray:
    """The probabilities (n, clusters) of each point under a mixture of Gaussians with diagonal covariances."""
    centres = _spread(x, num_clusters)
    floor = 1e-3 * x.var(0).mean()
    variances = np.tile(np.maximum(x.var(0), floor), (num_clusters, 1))
    weights = np.full(num_clusters, 1 / num_clusters)
    probabilities = np.zeros((len(x), num_clusters))
    for _ in range(STEPS):
        precisions = 1 / variances
        distances = (x**2) @ precisions.T - 2 * x @ (centres * precisions).T + (centres**2 * precisions).sum(1)
        logits = np.log(weights) - 0.5 * (distances + np.log(variances).sum(1))
        previous, probabilities = probabilities, np.exp(logits - logits.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        if np.abs(probabilities - previous).mean() < 1e-4 / num_clusters:
            break
        mass = np.maximum(probabilities.sum(0), 1e-9)
        centres = probabilities.T @ x / mass[:, None]
        spread = probabilities.T @ x**2 / mass[:, None] - centres**2
        variances = np.maximum((mass[:, None] * spread + x.var(0)) / (mass[:, None] + 1), floor)
        weights = np.maximum(mass / len(x), 1e-12)
    return probabilities


def _spread(x: np.ndarray, num_clusters: int) -> np.ndarray:
    """Centres that are far apart: each next one is drawn with the squared distance to the nearest before."""
    rng = np.random.default_rng(0)
    chosen = [int(rng.integers(len(x)))]
    nearest = ((x - x[chosen[0]]) ** 2).sum(1)
    while len(chosen) < num_clusters:
        total = nearest.sum()
        place = int(rng.choice(len(x), p=nearest / total)) if total > 0 else int(rng.integers(len(x)))
        chosen.append(place)
        nearest = np.minimum(nearest, ((x - x[place]) ** 2).sum(1))
    return x[chosen].copy()
