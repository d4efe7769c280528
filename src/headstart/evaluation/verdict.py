"""The verdict: did the pretrained start help? A paired bootstrap and McNemar's exact test answer.

The gain over a baseline is the difference of two accuracies on one test set. Its interval comes from drawing the
test samples anew with replacement, model and baseline together (Efron and Tibshirani 1993, chapter 16; Koehn 2004
for the paired form): what both get right or wrong cancels, so the interval is as narrow as the data allow. Where the two differ on few samples the
bootstrap is too narrow (four better and none worse would be a gain for sure), so the interval also covers the exact one
that belongs to McNemar's test (McNemar 1947; Fagerland et al. 2013, doi 10.1186/1471-2288-13-91): it leaves out zero
only if both say so.
Samples of one group (a patient, a speaker) are not independent, so where the data have groups, groups are drawn, and the
interval spans that of the cluster-robust t test as well (Cameron and Miller 2015, doi 10.3368/jhr.50.2.317).
"Negative transfer", the answer ``hurt``, is a gain below zero (Zhang et al. 2021, arXiv 2009.00909).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Answer = Literal["helped", "no clear gain", "hurt"]
DRAWS = 5000
LEAST = 10  # samples; with fewer nothing is claimed
LEAST_GROUPS = 6  # with fewer, even groups that all agree have a sign test of p > 0.05


@dataclass(frozen=True)
class Gain:
    """Accuracy of the candidate less that of a baseline, as shares of one, with its interval."""

    gain: float
    interval: tuple[float, float]

    @property
    def answer(self) -> Answer:
        low, high = self.interval
        return "helped" if low > 0 else "hurt" if high < 0 else "no clear gain"


@dataclass(frozen=True)
class Comparison:
    baseline: str
    title: str
    gain: float
    interval: tuple[float, float]
    answer: Answer


@dataclass(frozen=True)
class Verdict:
    """Whether the transfer helped.

    Attributes:
        answer: "helped" when the interval lies above zero against every baseline, "hurt" when it lies below
            zero against any, "no clear gain" otherwise.
        summary: one sentence with the gain that decided and its interval in points.
        comparisons: one for each baseline.
        per_class: answer, gain and interval of the accuracy on each class's own samples, against the stronger baseline;
            not corrected for the number of classes, so with many some look better or worse by chance alone.
        confidence: of the intervals.
    """

    answer: Answer
    summary: str
    comparisons: tuple[Comparison, ...]
    per_class: dict[str, dict]
    confidence: float = 0.95

    def __str__(self) -> str:
        return self.summary


def gain(
    candidate: np.ndarray, baseline: np.ndarray, *, groups: Sequence[str] | np.ndarray | None = None,
    confidence: float = 0.95, seed: int = 0,
) -> Gain:  # fmt: skip
    """The paired gain of two boolean vectors (n,): which test samples each got right.

    The interval spans the percentile bootstrap and the exact conditional interval (``exact_interval``), so it leaves
    out zero only where the exact McNemar test has p < 1 - confidence, too. Fewer than 10 samples give (-1, 1).

    Args:
        groups: (n,) names of what belongs together; the interval then spans that of drawn groups (``by_group``), too.
    """
    difference = candidate.astype(np.int8) - baseline.astype(np.int8)
    # Resampling n differences out of {-1, 0, 1} is a multinomial draw of their three counts.
    counts = np.array([(difference == value).sum() for value in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(difference), counts / len(difference), size=DRAWS)
    means = (drawn[:, 2] - drawn[:, 0]) / len(difference)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    exact_low, exact_high = exact_interval(int(counts[2]), int(counts[0]), len(difference), confidence=confidence)
    low, high = min(low, exact_low), max(high, exact_high)
    if groups is not None:
        wider = by_group(difference.astype(float), groups, confidence=confidence, seed=seed) or (-1.0, 1.0)
        low, high = min(low, wider[0]), max(high, wider[1])
    if len(difference) < LEAST:  # too few to claim anything
        low, high = -1.0, 1.0
    return Gain(float(difference.mean()), (float(low), float(high)))


def by_group(
    values: np.ndarray, groups: Sequence[str] | np.ndarray, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """The interval of the mean of values (n,) whose groups (n,), not samples, are drawn; None with fewer than 6 groups.

    It spans the percentile bootstrap of whole groups and Student's with the cluster-robust standard error, which holds
    where groups are few.
    """
    from scipy.stats import t as student

    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(owner)
    if len(sizes) < LEAST_GROUPS:
        return None
    sums, mean, tail = np.bincount(owner, values), float(values.mean()), (1 - confidence) / 2
    drawn = np.random.default_rng(seed).integers(len(sizes), size=(DRAWS, len(sizes)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [tail, 1 - tail])
    error = np.sqrt(len(sizes) / (len(sizes) - 1) * np.square(sums - mean * sizes).sum()) / len(values)
    half = float(student.ppf(1 - tail, len(sizes) - 1) * error)
    return min(float(low), mean - half), max(float(high), mean + half)


def exact_interval(wins: int, losses: int, num_samples: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The gain's interval given how many samples only the candidate got right (``wins``) or only the baseline.

    Of the d samples that differ the candidate wins a share p, whose interval is that of Clopper and Pearson (1934);
    the gain is d / n * (2 p - 1). It leaves out zero exactly where the two-sided binomial (McNemar) test has
    p < 1 - confidence. Without any difference it spans the shares of differing samples, all to one side, that
    would have shown none with a probability of (1 - confidence) / 2.
    """
    from scipy.special import betaincinv

    tail, differing = (1 - confidence) / 2, wins + losses
    if not differing:
        unseen = 1 - tail ** (1 / num_samples)
        return -unseen, unseen
    lowest = float(betaincinv(wins, losses + 1, tail)) if wins else 0.0
    highest = float(betaincinv(wins + 1, losses, 1 - tail)) if losses else 1.0
    return differing / num_samples * (2 * lowest - 1), differing / num_samples * (2 * highest - 1)


def verdict(
    candidate: np.ndarray,
    baselines: dict[str, np.ndarray],
    actual: np.ndarray,
    *,
    titles: dict[str, str],
    classes: Sequence[str],
    groups: Sequence[str] | np.ndarray | None = None,
    seed: int = 0,
) -> Verdict:
    """Compare predicted class numbers (n,) with those of each baseline on the same test samples.

    Args:
        candidate: predictions of the adapted pretrained model.
        baselines: name -> predictions of a model that never saw the pretrained weights.
        actual: the true class numbers.
        titles: name -> what the baseline is, in words.
        classes: names of the classes.
        groups: (n,) names of what belongs together (patient, speaker): groups are drawn, not samples.
    """
    right, owner = candidate == actual, None if groups is None else np.asarray(groups)
    gains = {name: gain(right, other == actual, groups=owner, seed=seed) for name, other in baselines.items()}
    rival, found = _decided(gains, titles, "points")
    per_class = {}
    for number, name in enumerate(classes):
        rows = actual == number
        if rows.any():
            some = None if owner is None else owner[rows]
            own = gain(right[rows], baselines[rival][rows] == number, groups=some, seed=seed)
            per_class[name] = {"answer": own.answer, "gain": own.gain, "interval": list(own.interval),
                               "support": int(rows.sum())}  # fmt: skip
    return replace(found, per_class=per_class)


def verdict_on_merits(
    candidate: np.ndarray,
    baselines: dict[str, np.ndarray],
    *,
    titles: dict[str, str],
    unit: str,
    groups: Sequence[str] | np.ndarray | None = None,
    seed: int = 0,
) -> Verdict:
    """Compare how good each prediction is, (n,) numbers (``Task.merits``), with those of each baseline; NaN: no label.

    Args:
        unit: what a difference of their means is called, "points of F1".
        groups: (n,) names of what belongs together.
    """
    gains = {name: paired_gain(candidate, other, groups=groups, seed=seed) for name, other in baselines.items()}
    return _decided(gains, titles, unit)[1]


def paired_gain(
    candidate: np.ndarray, baseline: np.ndarray, *, groups: Sequence[str] | np.ndarray | None = None,
    confidence: float = 0.95, seed: int = 0,
) -> Gain:  # fmt: skip
    """The gain of merits (n,) over others, by the paired bootstrap.

    The interval spans the percentile bootstrap and Student's (1908) of the differences, for the former is too narrow for
    few samples (Hesterberg 2015, doi 10.1080/00031305.2015.1089789). Fewer than 10 samples, or 6 groups, give no claim.
    Merits that are all 0 or 1, answers that are right or wrong, are compared as ``gain`` does.
    """
    from scipy.stats import t as student

    known = np.isfinite(candidate) & np.isfinite(baseline)
    owner = None if groups is None else np.asarray(groups)[known]
    if known.any() and np.isin([candidate[known], baseline[known]], (0, 1)).all():
        return gain(candidate[known] == 1, baseline[known] == 1, groups=owner, confidence=confidence, seed=seed)
    differences = (candidate - baseline)[known]
    if len(differences) < LEAST or (owner is not None and len(np.unique(owner)) < LEAST_GROUPS):
        widest = float(max([1.0, *np.abs(differences)]))
        return Gain(float(differences.mean()) if len(differences) else 0.0, (-widest, widest))
    rng = np.random.default_rng(seed)
    means = [differences[rng.integers(len(differences), size=len(differences))].mean() for _ in range(DRAWS)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    half = float(student.ppf(1 - tail, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5)
    mean = float(differences.mean())
    low, high = min(float(low), mean - half), max(float(high), mean + half)
    if owner is not None and (wider := by_group(differences, owner, confidence=confidence, seed=seed)):
        low, high = min(low, wider[0]), max(high, wider[1])
    return Gain(mean, (low, high))


def shown(interval: Sequence[float]) -> str:
    """An interval of a gain in points, ``[-0.7, 7.0]``; in words where it says nothing."""
    low, high = interval
    return "[too few to say]" if low <= -1 and high >= 1 else f"[{100 * low:.1f}, {100 * high:.1f}]"


def _decided(gains: dict[str, Gain], titles: dict[str, str], unit: str) -> tuple[str, Verdict]:
    """The baseline whose comparison decided, and the verdict."""
    answers = {found.answer for found in gains.values()}
    answer: Answer = "hurt" if "hurt" in answers else "helped" if answers == {"helped"} else "no clear gain"
    # the comparison that decided: the lowest end of an interval that could turn the answer
    end = 1 if answer == "hurt" else 0
    rival = min(gains, key=lambda name: gains[name].interval[end])
    summary = f"{answer}: {100 * gains[rival].gain:+.1f} {unit} over {titles[rival]} {shown(gains[rival].interval)}"
    comparisons = tuple(Comparison(n, titles[n], g.gain, g.interval, g.answer) for n, g in gains.items())
    return rival, Verdict(answer, summary, comparisons, {})
