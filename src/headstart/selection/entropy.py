"""Entropy: how sure the predictions on the target are.

Morerio, Cavazza, Murino: Minimal-Entropy Correlation Alignment, ICLR 2018, arXiv 1711.10288, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence, probabilities


@dataclass(frozen=True)
class Entropy(Criterion):
    """The negative mean entropy in nats. A classifier that calls everything one class scores best: never use it alone."""

    needs = frozenset({"target"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        found = probabilities(evidence.target)
        return np.asarray((found * np.log(np.maximum(found, 1e-300))).sum(1))
