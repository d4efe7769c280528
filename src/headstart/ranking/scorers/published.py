"""The accuracy that is published of the model, on the data it was trained for: no look at the data at all.

Paper: Kornblith et al. 2019, arXiv 1805.08974: across architectures it goes with the accuracy after transfer.
"""

from __future__ import annotations

from headstart.features.table import FeatureTable

NEEDS = frozenset({"published"})
COST = 1


def score(table: FeatureTable) -> float:
    """Between 0 and 1."""
    return float(table.origin.published or 0.0)
