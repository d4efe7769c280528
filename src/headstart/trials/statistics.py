"""Means, paired differences and where one curve crosses another, each with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from headstart.evaluation.verdict import exact_interval
from headstart.trials.cells import Cell

Z = 1.96


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


def mean(rows: Sequence[np.ndarray]) -> Mean:
    """Of one row of values (n,) a seed.

    The variance is that between seeds, over their number, plus that of drawing the test samples, which is taken once and
    not divided: the test sides of the seeds share many samples, or all. So the interval is too wide rather than too narrow.
    """
    middles = np.array([row.mean() for row in rows])
    between = middles.var(ddof=1) / len(rows) if len(rows) > 1 else 0.0
    drawn = float(np.mean([row.var() / len(row) for row in rows]))
    # where no sample differs the variance is 0, and yet a difference in 3 of n could have stayed unseen (rule of three)
    unseen = max((3 / len(row)) / Z for row in rows) if drawn == 0 else 0.0
    error = max(math.sqrt(between + drawn), unseen)
    value = float(middles.mean())
    p = math.erfc(abs(value) / error / math.sqrt(2)) if error else 1.0
    return Mean(value, value - Z * error, value + Z * error, p)


def accuracy(cells: Sequence[Cell]) -> Mean:
    found = mean([np.asarray(cell.right, float) for cell in cells])
    return Mean(found.value, max(0.0, found.low), min(1.0, found.high), found.p)


def gain(better: Sequence[Cell], than: Sequence[Cell]) -> Mean | None:
    """Of the seeds that both have with the same test samples, sample by sample; None where there are none.

    Where few samples differ a normal interval is too narrow (four better and none worse would be clear), so it also covers
    the mean of the seeds' exact ones, as the verdict's does.
    """
    others = {(cell.plan.seed, cell.names): cell for cell in than}
    rows = [
        np.asarray(cell.right, float) - np.asarray(others[cell.plan.seed, cell.names].right, float)
        for cell in better
        if (cell.plan.seed, cell.names) in others
    ]
    if not rows:
        return None
    found = mean(rows)
    counts = [(int((row > 0).sum()), int((row < 0).sum()), len(row)) for row in rows]
    lows, highs = zip(*(exact_interval(*entry) for entry in counts), strict=True)
    tests = [binomtest(won, won + lost).pvalue if won + lost else 1.0 for won, lost, _ in counts]
    return Mean(found.value, min(found.low, float(np.mean(lows))), max(found.high, float(np.mean(highs))),
                max(found.p, float(np.mean(tests))))  # fmt: skip


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
    words = f"{100 * gains[-1].value:+.1f} points [{100 * gains[-1].low:+.1f}, {100 * gains[-1].high:+.1f}]"
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
