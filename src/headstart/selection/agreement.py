"""Agreement: the share of target rows that two classifiers, fitted on different source rows, predict alike.

Jiang, Nagarajan, Baek, Kolter: Assessing Generalization of SGD via Disagreement, ICLR 2022, arXiv 2106.13799; that it
follows accuracy across a shift: Baek, Jiang, Raghunathan, Kolter, NeurIPS 2022, arXiv 2206.13089.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence


@dataclass(frozen=True)
class Agreement(Criterion):
    """Two classifiers that make the same mistakes agree as well, so a bias that both share is not seen."""

    needs = frozenset({"target", "other"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        return (evidence.target.argmax(1) == evidence.other.argmax(1)).astype(np.float64)
