"""Means, paired differences and where one curve crosses another, each with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from headstart.evaluation import verdict
from headstart.evaluation.verdict import by_group, shown
from headstart.trials.cells import Cell

Z = 1.96
UNKNOWN = (-1.0, 1.0)  # the verdict's interval where samples or groups are too few to claim anything


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, its 95 % interval, and the p-value of its being zero."""

    value: float
    low: float
    high: float
    p: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def mean(rows: Sequence[np.ndarray], drawn: Sequence[float] | None = None) -> Mean:
    """Of one row of values (n,) a seed.

    The variance is that between seeds, over their number, plus that of drawing the test samples, which is taken once and
    not divided: the test sides of the seeds share many samples, or all. So the interval is too wide rather than too narrow.

    Args:
        drawn: the variance of each row's mean by drawing the test samples; by default that of samples drawn one by one.
    """
    middles = np.array([row.mean() for row in rows])
    between = middles.var(ddof=1) / len(rows) if len(rows) > 1 else 0.0
    alone = float(np.mean([row.var() / len(row) for row in rows] if drawn is None else drawn))
    # where no sample differs the variance is 0, and yet a difference in 3 of n could have stayed unseen (rule of three)
    unseen = max((3 / len(row)) / Z for row in rows) if alone == 0 else 0.0
    error = max(math.sqrt(between + alone), unseen)
    value = float(middles.mean())
    p = math.erfc(abs(value) / error / math.sqrt(2)) if error else 1.0
    return Mean(value, value - Z * error, value + Z * error, p)


def variance(row: np.ndarray, groups: np.ndarray | None) -> float:
    """Of the mean of a row (n,) by drawing test samples; of six groups and more, whole groups at a time.

    It is then that of a normal distribution whose 95 % interval is as wide as ``by_group`` has it.
    """
    alone = float(row.var() / len(row))
    found = by_group(row, groups) if groups is not None else None
    return max(alone, ((found[1] - found[0]) / 2 / Z) ** 2) if found else alone


def accuracy(cells: Sequence[Cell]) -> Mean:
    rows = [np.asarray(cell.right, float) for cell in cells]
    found = mean(rows, [variance(row, cell.owners) for row, cell in zip(rows, cells, strict=True)])
    return Mean(found.value, max(0.0, found.low), min(1.0, found.high), found.p)


def gain(better: Sequence[Cell], than: Sequence[Cell]) -> Mean | None:
    """Of the seeds that both have with the same test samples, sample by sample; None where there are none.

    A normal interval is too narrow where few samples differ (four better and none worse would be clear) and where samples
    belong to groups, so it also covers the mean of the intervals that the verdict would have for each seed; with fewer
    than 10 samples or 6 groups nothing is claimed.
    """
    others = {(cell.plan.seed, cell.names): cell for cell in than}
    pairs = [(cell, others[cell.plan.seed, cell.names]) for cell in better if (cell.plan.seed, cell.names) in others]
    if not pairs:
        return None
    rows = [np.asarray(one.right, float) - np.asarray(other.right, float) for one, other in pairs]
    found = mean(rows, [variance(row, one.owners) for row, (one, _) in zip(rows, pairs, strict=True)])
    single = [verdict.gain(np.asarray(one.right, bool), np.asarray(other.right, bool), groups=one.owners).interval
              for one, other in pairs]  # fmt: skip
    if UNKNOWN in single:
        return Mean(found.value, *UNKNOWN, 1.0)
    low, high = (float(end) for end in np.mean(single, 0))
    counts = [(int((row > 0).sum()), int((row < 0).sum())) for row in rows]
    tests = [binomtest(won, won + lost).pvalue if won + lost else 1.0 for won, lost in counts]
    return Mean(found.value, min(found.low, low), max(found.high, high), max(found.p, float(np.mean(tests))))


@dataclass(frozen=True)
class Crossing:
    """From how many labels a class one approach beats another.

    Attributes:
        clear: the smallest size from which on it is clearly better; None: at no size.
        about: where the mean curves cross, on a logarithmic scale; None where they do not.
        sentence: what it means.
    """

    clear: int | None
    about: float | None
    sentence: str


def crossing(sizes: Sequence[int], gains: Sequence[Mean], who: str, whom: str) -> Crossing:
    """Where the gain becomes positive for good.

    Args:
        sizes: labels a class, ascending.
        gains: of ``who`` over ``whom`` at each size.
    """
    clear = None
    for i in range(len(sizes) - 1, -1, -1):
        if gains[i].low <= 0:
            break
        clear = i
    about = None
    for i in range(len(sizes) - 1, 0, -1):
        a, b = gains[i - 1].value, gains[i].value
        if a <= 0 < b:
            about = 2 ** (math.log2(sizes[i - 1]) + (math.log2(sizes[i]) - math.log2(sizes[i - 1])) * -a / (b - a))
            break
    words = f"{100 * gains[-1].value:+.1f} points {shown((gains[-1].low, gains[-1].high))}"
    if clear == 0:
        sentence = f"{who} wins clearly at every size tried, from {sizes[0]} labels a class on"
    elif clear is not None:
        where = f", and the curves cross at about {about:.0f}" if about else ""
        sentence = f"{who} wins clearly from {sizes[clear]} labels a class on, not yet at {sizes[clear - 1]}{where}"
    elif gains[-1].value > 0:
        sentence = f"up to {sizes[-1]} labels a class {who} does not win clearly; at the most labels it is {words} ahead"
    else:
        sentence = f"{who} does not win with up to {sizes[-1]} labels a class; at the most labels it is {words}"
    return Crossing(None if clear is None else sizes[clear], about, f"{sentence} (against {whom}).")
