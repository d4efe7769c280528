"""Soft neighbourhood density: do target rows have many neighbours that are predicted alike?

Saito, Kim, Teterwak, Sclaroff, Darrell, Saenko: Tune it the Right Way: Unsupervised Validation of Domain Adaptation via
Soft Neighborhood Density, ICCV 2021, arXiv 2108.10860, equations 1-3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from headstart.selection import Criterion, Evidence, probabilities

MOST = 4000  # rows; their similarities are a matrix of this size squared
BLOCK = 1000


@dataclass(frozen=True)
class Neighbourhood(Criterion):
    """Args:
    temperature: of the similarities; the paper's 0.05.
    """

    temperature: float = 0.05
    needs = frozenset({"target"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        """The entropies of the neighbourhoods; of more than ``MOST`` rows, that many at even distances are looked at."""
        logits = evidence.target
        if len(logits) > MOST:
            logits = logits[np.linspace(0, len(logits) - 1, MOST).astype(int)]
        if len(logits) < 2:
            return np.zeros(len(logits))
        found = probabilities(logits)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        entropies = np.empty(len(found))
        for start in range(0, len(found), BLOCK):
            rows = found[start : start + BLOCK]
            similar = rows @ found.T / self.temperature  # (block, m)
            similar[np.arange(len(rows)), start + np.arange(len(rows))] = -np.inf  # nobody is a neighbour of himself
            logs = log_softmax(similar, axis=1)
            shares = np.exp(logs)
            entropies[start : start + BLOCK] = -(shares * np.where(shares > 0, logs, 0.0)).sum(1)
        return entropies
