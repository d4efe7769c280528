"""``auto`` where labelled samples of the target may be learned from: they also judge, by cross-validation.

No estimate without labels is as good as a few labels; but a few are few, so a candidate has to be better than source-only
beyond chance, at a confidence that allows for the number of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.adaptation.grid import BAR, Entry, grid
from headstart.approaches._adaptation import Adaptation, logits_of
from headstart.approaches._rows import Pair, folds
from headstart.approaches.anchored import Anchored
from headstart.approaches.tradaboost import Tradaboost
from headstart.metrics.paired import interval
from headstart.selection import errors
from headstart.training.run import Run

FOLDS = 5
SURE = 0.95  # that none of all candidates is better by chance


@dataclass(frozen=True)
class Judged:
    """The candidate that is kept, why, and each candidate's accuracy on labelled target rows that it was not fitted on."""

    name: str
    reasons: tuple[str, ...]
    accuracies: dict[str, float]


def candidates(pair: Pair) -> list[Entry]:
    """Those that learn from the labels come first after the bar."""
    return [BAR, Entry("anchored", Anchored()), Entry("tradaboost", Tradaboost()), *grid(pair)[1:]]


def held_out(approach: Adaptation, pair: Pair, run: Run) -> np.ndarray:
    """(k, classes) logits of the labelled target rows, each by a fit that did not see its label."""
    assert pair.known is not None and pair.known_labels is not None
    if not approach.uses_known:
        return logits_of(approach.learn(pair, run), pair.known)
    found, fold = np.zeros((len(pair.known), pair.num_classes)), folds(pair.known_labels, run.seed, FOLDS)
    for number in np.unique(fold):
        outside = fold == number
        if not outside.all():
            head = approach.learn(pair.knowing(np.flatnonzero(~outside)), run)
            found[outside] = logits_of(head, pair.known[outside])
    return found


def decide(logits: dict[str, np.ndarray], labels: np.ndarray, seed: int = 0) -> Judged:
    """Which candidate is kept.

    Args:
        logits: (k, classes) by name, see ``held_out``; the first is the bar.
        labels: (k,) of these rows.
    """
    bar, *others = logits
    wrong = {name: errors(rows, labels) for name, rows in logits.items()}
    accuracies = {name: 1 - float(each.mean()) for name, each in wrong.items()}
    confidence = 1 - (1 - SURE) / max(1, len(others))
    sound = {}
    for name in others:
        better = wrong[bar] - wrong[name]
        low, high = interval(better, confidence=confidence, seed=seed)
        if low > 0:
            sound[name] = f"{100 * better.mean():+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
    told = ", ".join(f"{name} {value:.3f}" for name, value in accuracies.items())
    tried = f"accuracy on {len(labels)} labelled target samples, cross-validated where they are learned from: {told}"
    if not sound:
        return Judged(bar, (f"{bar} is kept: no candidate is better beyond chance by the target's labels", tried), accuracies)
    best = max(sound, key=lambda name: accuracies[name])
    return Judged(best, (f"{best} is kept: by the target's labels {sound[best]} over {bar}", tried), accuracies)
