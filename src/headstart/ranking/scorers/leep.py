"""LEEP: the log-likelihood of the labels if they are read off the answers of the model's own classifier.

Paper: Nguyen et al. 2020, arXiv 2002.12462. Reference code: log_expected_empirical_prediction in
github.com/thuml/Transfer-Learning-Library, tllib/ranking/leep.py.
"""

from __future__ import annotations

from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers
from headstart.ranking.scorers._expected import expected

NEEDS = frozenset({"source_probs"})
COST = 1


def score(table: FeatureTable) -> float:
    """The mean log expected empirical prediction, in nats; at most 0."""
    assert table.origin.source_probs is not None
    return expected(table.origin.source_probs, *class_numbers(table))
