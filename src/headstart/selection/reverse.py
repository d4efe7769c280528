"""Reverse validation: go to the target and back, and see what is left of the source's labels.

Zhong, Fan, Yang, Verscheure, Ren: Cross Validation Framework to Choose amongst Models and Datasets for Transfer Learning,
ECML PKDD 2010; as in Ganin et al., JMLR 17(59), 2016, section 5.1.2. Also called circular validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.selection import Criterion, Evidence, errors


@dataclass(frozen=True)
class Reverse(Criterion):
    """The accuracy on held-out source rows of the method gone back."""

    needs = frozenset({"labels", "back"})

    def merits(self, evidence: Evidence) -> np.ndarray:
        return 1 - errors(evidence.back, evidence.labels)
