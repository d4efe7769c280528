"""Deep embedded validation: importance-weighted validation with a control variate that takes variance out of it.

You, Wang, Long, Jordan: Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML 2019, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence, errors


@dataclass(frozen=True)
class DeepEmbedded(Criterion):
    """The weights' mean is known to be 1, so by how much they miss it tells of their noise."""

    needs = frozenset({"labels", "source", "weights"})

    def score(self, evidence: Evidence) -> float:
        weights = evidence.weights
        weighted = weights * errors(evidence.source, evidence.labels)
        spread = float(weights.var(ddof=1)) if len(weights) > 1 else 0.0
        if spread < 1e-12:  # all weights alike: nothing to correct
            return 1 - float(weighted.mean())
        slope = -float(np.cov(weighted, weights, ddof=1)[0, 1]) / spread
        return 1 - float(weighted.mean() + slope * weights.mean() - slope)
