"""The size of the model: no look at the data at all. A prior that beats many scorers among well-trained models.

Paper: Agostinelli et al. 2022, arXiv 2204.01403, on how unstable scorers are.
"""

from __future__ import annotations

import math

from headstart.features.table import FeatureTable

NEEDS = frozenset({"parameters"})
COST = 1


def score(table: FeatureTable) -> float:
    """The logarithm (base 10) of the number of parameters."""
    return math.log10(max(1, table.origin.parameters or 1))
