"""Deep embedded validation: importance-weighted validation with a control variate that takes variance out of it.

You, Wang, Long, Jordan: Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML 2019, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence, errors


@dataclass(frozen=True)
class DeepEmbedded(Criterion):
    """The weights' expectation is known to be 1, so by how much their mean misses it tells of their noise.

    The weights therefore stay as they are: divided by their mean they would miss it by nothing, and the score would be that
    of importance-weighted validation.
    """

    needs = frozenset({"labels", "source", "weights"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        weights = evidence.weights
        weighted = weights * errors(evidence.source, evidence.labels)
        spread = float(weights.var(ddof=1)) if len(weights) > 1 else 0.0
        if spread < 1e-12:  # all weights alike: nothing to correct
            return 1 - weighted
        slope = float(np.cov(weighted, weights, ddof=1)[0, 1]) / spread
        return 1 - (weighted - slope * (weights - 1))
