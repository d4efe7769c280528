"""The verdict: did the pretrained start help? A paired bootstrap on the same test samples answers.

The gain over a baseline is the difference of two accuracies on one test set. Its interval comes from drawing the
test samples anew with replacement, model and baseline together (Efron and Tibshirani 1993, chapter 16; Koehn 2004
for the paired form): what both get right or wrong cancels, so the interval is as narrow as the data allow.
"Negative transfer", the answer ``hurt``, is a gain below zero (Zhang et al. 2021, arXiv 2009.00909).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Answer = Literal["helped", "no clear gain", "hurt"]
DRAWS = 5000


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
            not corrected for the number of classes, so a few look better or worse by chance alone.
        confidence: of the intervals.
    """

    answer: Answer
    summary: str
    comparisons: tuple[Comparison, ...]
    per_class: dict[str, dict]
    confidence: float = 0.95

    def __str__(self) -> str:
        return self.summary


def gain(candidate: np.ndarray, baseline: np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> Gain:
    """The paired gain of two boolean vectors (n,): which test samples each got right."""
    difference = candidate.astype(np.int8) - baseline.astype(np.int8)
    # Resampling n differences out of {-1, 0, 1} is a multinomial draw of their three counts.
    counts = np.array([(difference == value).sum() for value in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(difference), counts / len(difference), size=DRAWS)
    means = (drawn[:, 2] - drawn[:, 0]) / len(difference)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    if len(difference) < 10:  # too few to claim anything
        low, high = -1.0, 1.0
    elif not counts[[0, 2]].any():  # every sample the same: one more could have differed
        low, high = -1 / len(difference), 1 / len(difference)
    return Gain(float(difference.mean()), (float(low), float(high)))


def verdict(
    candidate: np.ndarray,
    baselines: dict[str, np.ndarray],
    actual: np.ndarray,
    *,
    titles: dict[str, str],
    classes: Sequence[str],
    seed: int = 0,
) -> Verdict:
    """Compare predicted class numbers (n,) with those of each baseline on the same test samples.

    Args:
        candidate: predictions of the adapted pretrained model.
        baselines: name -> predictions of a model that never saw the pretrained weights.
        actual: the true class numbers.
        titles: name -> what the baseline is, in words.
        classes: names of the classes.
    """
    right = candidate == actual
    gains = {name: gain(right, other == actual, seed=seed) for name, other in baselines.items()}
    answers = {found.answer for found in gains.values()}
    answer: Answer = "hurt" if "hurt" in answers else "helped" if answers == {"helped"} else "no clear gain"
    # the comparison that decided: the lowest end of an interval that could turn the answer
    end = 1 if answer == "hurt" else 0
    rival = min(gains, key=lambda name: gains[name].interval[end])
    low, high = (100 * bound for bound in gains[rival].interval)
    summary = f"{answer}: {100 * gains[rival].gain:+.1f} points over {titles[rival]} [{low:.1f}, {high:.1f}]"
    per_class = {}
    for number, name in enumerate(classes):
        rows = actual == number
        if rows.any():
            found = gain(right[rows], baselines[rival][rows] == number, seed=seed)
            per_class[name] = {"answer": found.answer, "gain": found.gain, "interval": list(found.interval),
                               "support": int(rows.sum())}  # fmt: skip
    comparisons = tuple(Comparison(n, titles[n], g.gain, g.interval, g.answer) for n, g in gains.items())
    return Verdict(answer, summary, comparisons, per_class)
