"""Importance-weighted validation: the accuracy on held-out source rows, each counting as often as the target has it.

Sugiyama, Krauledat, Mueller: Covariate Shift Adaptation by Importance Weighted Cross Validation, JMLR 8, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence, errors


@dataclass(frozen=True)
class Importance(Criterion):
    """Unbiased where only the inputs are distributed differently and the weights are right."""

    needs = frozenset({"labels", "source", "weights"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        return 1 - evidence.weights / evidence.weights.mean() * errors(evidence.source, evidence.labels)
