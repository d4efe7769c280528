"""What was measured of one candidate on some of the samples: scores, their intervals, and which samples it got right."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from headstart import plugins
from headstart.errors import HeadstartError
from headstart.features.table import FeatureTable
from headstart.metrics import paired
from headstart.ranking import scorers
from headstart.ranking.folds import folds
from headstart.ranking.scorers import class_numbers, knn, linear

REPEATS = 3  # ways to part the samples into folds, so that luck with one of them averages out
HALVES = 8  # half samples behind the interval of a score
PROBE_SHARE = 0.75  # of the linear probe in what is measured; the rest is the neighbours'
MEASURED = ("linear", "knn")


@dataclass(frozen=True)
class Evidence:
    """Of one candidate on n samples.

    Attributes:
        samples: n.
        right: (n,) between 0 and 1: how often held-out answers for the sample were right, probe and neighbours weighed.
        probe, neighbours: (n,) the two parts of it.
        scores: by scorer; higher is better, and scores of two scorers cannot be compared.
        intervals: by scorer, 95 %; a score without one has too few samples for it.
        silent: by scorer, why it says nothing.
    """

    samples: int
    right: np.ndarray
    probe: np.ndarray
    neighbours: np.ndarray
    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


def measured(table: FeatureTable, units: np.ndarray | None = None, seed: int = 0) -> Evidence:
    """The two answers that count most: a linear probe and the nearest neighbours, both cross-validated.

    Args:
        table: n samples with labels.
        units: (n,) samples of one unit (copies, a patient) share a fold.

    Raises:
        DataError, Incompatible: as ``scorers.score``.
    """
    scorers.checked(table)
    numbers, num_classes = class_numbers(table)
    splits = [folds(numbers, seed + repeat, units) for repeat in range(REPEATS)]
    probe = (linear.predictions(table.vectors, numbers, num_classes, splits) == numbers).mean(0)
    near = (knn.predictions(table.vectors, numbers, num_classes, splits[0]) == numbers).astype(np.float64)
    scores = {"linear": float(probe.mean()), "knn": float(near.mean())}
    return Evidence(len(table), PROBE_SHARE * probe + (1 - PROBE_SHARE) * near, probe, near, scores)


def scored(evidence: Evidence, table: FeatureTable, *, costly: bool) -> Evidence:
    """With every other scorer's word, and intervals.

    The interval of a mean of right answers is the bootstrap's. That of another score is the score plus and minus 1.96
    standard deviations over halves of the samples, drawn without replacement within classes: the deviation between halves
    is that of a score of all samples (delete-half jackknife; Shao and Wu 1989, doi 10.1214/aos/1176347263). A bootstrap
    would draw samples twice, which neighbours and covariances take for a discovery.

    Args:
        costly: also those scorers that are too dear for every candidate.
    """
    scores, silent = dict(evidence.scores), dict[str, str]()
    intervals: dict[str, tuple[float, float]] = {}
    for name, parts in (("linear", evidence.probe), ("knn", evidence.neighbours)):
        low, high = paired.interval(parts)
        if np.isfinite(low):
            intervals[name] = (max(0.0, low), min(1.0, high))
    halves = [_half(table, draw) for draw in range(HALVES)]
    for name in plugins.names("ranking.scorers"):
        if name in MEASURED or (plugins.load("ranking.scorers", name).COST > 1 and not costly):
            continue
        try:
            scores[name] = _score(name, table)
            spread = float(np.std([_score(name, half) for half in halves], ddof=1))
            intervals[name] = (scores[name] - 1.96 * spread, scores[name] + 1.96 * spread)
        except HeadstartError as reason:
            silent.setdefault(name, str(reason))
    return replace(evidence, scores=scores, intervals=intervals, silent=silent)


def _score(name: str, table: FeatureTable) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a score that is not finite is refused by name
        return scorers.score(name, table)


def _half(table: FeatureTable, seed: int) -> FeatureTable:
    """Half of the samples of each class, at least one."""
    numbers, num_classes = class_numbers(table)
    order = np.random.default_rng(seed).permutation(len(numbers))
    rows = [own[: max(1, (len(own) + seed % 2) // 2)] for own in (order[numbers[order] == c] for c in range(num_classes))]
    return taken(table, np.sort(np.concatenate(rows)))


def taken(table: FeatureTable, rows: np.ndarray) -> FeatureTable:
    """Some rows of a table."""
    origin = table.origin
    if origin.source_probs is not None:
        origin = replace(origin, source_probs=origin.source_probs[rows])
    labels = None if table.labels is None else [table.labels[i] for i in rows]
    return replace(table, vectors=table.vectors[rows], labels=labels, names=[table.names[i] for i in rows], origin=origin)
