"""Evidence of a candidate by crosswise fits: on one half of the source and back again, never with a target label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from headstart.approaches._adaptation import Adaptation, logits_of
from headstart.approaches._rows import Pair, are_counts, folds
from headstart.selection import Evidence
from headstart.shift import DensityRatio
from headstart.solvers import temperature
from headstart.training.run import Run

BACK = 1000  # target rows that are learned from on the way back; they are noisy labels anyway, and more cost more


def halved(pair: Pair) -> bool:
    """Whether both halves of the source have two classes, so that there is evidence at all."""
    return int((np.bincount(pair.labels) > 1).sum()) > 1


def gathered(approach: Adaptation, pair: Pair, weights: np.ndarray, run: Run) -> Evidence:
    """Logits for every source row by the fit that did not see its label, there and back.

    Four fits: on either half of the source, and from the target, labelled by what that fit said, back to the source.

    Args:
        pair: whose source can be ``halved``.
        weights: (n,) of the source rows, see ``importance_of``.
    """
    fold = folds(pair.labels, run.seed, 2)
    source, back = np.zeros((2, len(pair.labels), pair.num_classes))
    targets = []
    for number in (0, 1):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        head = approach.learn(pair.rows(inside), run)
        source[outside] = logits_of(head, pair.source[outside])
        targets.append(logits_of(head, pair.target))
        guesses = targets[-1].argmax(1)
        if len(np.unique(guesses)) > 1:
            some = folds(guesses, run.seed, -(-len(guesses) // BACK)) == 0
            turned = replace(pair, target=pair.target[some]).reversed(guesses[some])
            back[outside] = logits_of(approach.learn(turned, run), pair.source[outside])
        else:  # it takes the whole target for one class: nothing to learn on the way back
            back[outside, guesses[0]] = 1.0
    divisor = temperature(
        source, pair.labels
    )  # how sure a method sounds is its penalty's doing; made alike on the source
    return Evidence(pair.labels, source / divisor, weights, targets[0] / divisor, targets[1] / divisor, back)


def importance_of(pair: Pair) -> np.ndarray:
    """(n,) how much likelier each source row is in the target, by estimates that did not see the row; mean about 1."""
    found, fold = np.ones(len(pair.source)), folds(pair.labels, 1, 2)
    source, target = pair.source, pair.target
    if are_counts(source, target):
        source, target = csr_array(source), csr_array(target)
    for number in (0, 1):
        outside = fold == number
        found[outside] = DensityRatio(regularisation=0.1).fit(source[fold != number], target).weigh(source[outside])
    return found
