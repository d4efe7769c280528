"""Model selection without target labels: how good is an adapted classifier on the target? One file is one criterion.

None is right always (Musgrave et al. 2021, arXiv 2111.15672; Lalou et al. 2024, arXiv 2407.11676): those that look at the
source assume that the classes look alike in both domains, those that look at the target are fooled by a classifier that
is sure and wrong. ``headstart.adaptation`` therefore listens to several.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields

import numpy as np
from scipy.special import log_softmax

from headstart.errors import ConfigError


def _nothing() -> np.ndarray:
    return np.empty((0, 0))


@dataclass(frozen=True)
class Evidence:
    """What may be known of a candidate. Nothing here depends on a label of the target.

    Attributes:
        labels: (n,) class numbers of source rows that the candidate was not fitted on.
        source: (n, k) logits of these rows.
        weights: (n,) how much likelier these rows are in the target than in the source; 1 on average, which estimates may miss.
        target: (m, k) logits of target rows.
        other: (m, k) logits of the same rows by the same method, fitted on other source rows.
        back: (n, k) logits of the source rows by the method gone back: fitted on the target with its guesses as labels.
    """

    labels: np.ndarray
    source: np.ndarray
    weights: np.ndarray
    target: np.ndarray
    other: np.ndarray = field(default_factory=_nothing)
    back: np.ndarray = field(default_factory=_nothing)

    def missing(self) -> set[str]:
        return {entry.name for entry in fields(self) if not getattr(self, entry.name).size}


class Criterion(ABC):
    """Scores a candidate from evidence; higher is better. ``needs``: the parts of the evidence that it looks at."""

    needs: frozenset[str]

    @abstractmethod
    def merits(self, evidence: Evidence) -> np.ndarray:
        """(n,) or (m,) how much each row speaks for the candidate; their mean is the score. The scale is the criterion's own.

        Those of two candidates, from evidence of the same rows, are compared row by row.
        """


def scored(criterion: Criterion, evidence: Evidence) -> float:
    """The score of a candidate, the mean of its rows' merits."""
    return float(merits_of(criterion, evidence).mean())


def merits_of(criterion: Criterion, evidence: Evidence) -> np.ndarray:
    """The merits, once the evidence is known to be there.

    Raises:
        ConfigError: the evidence lacks a part that the criterion needs.
    """
    lacking = criterion.needs & evidence.missing()
    if lacking:
        name = type(criterion).__module__.rpartition(".")[2]
        raise ConfigError(
            f"The criterion {name} needs {', '.join(sorted(lacking))}, and the evidence has no such part."
        )
    return criterion.merits(evidence)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(m, k) softmax of logits (m, k)."""
    return np.exp(log_softmax(np.asarray(logits, np.float64), axis=1))


def errors(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) 1 where the largest logit is not that of the label, else 0."""
    return (logits.argmax(1) != labels).astype(np.float64)
