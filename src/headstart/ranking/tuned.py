"""A short fine-tuning of a candidate, for those who will fine-tune: what a probe gets right says little of what a network can learn."""

from __future__ import annotations

import numpy as np

from headstart.approaches.finetune import FineTune
from headstart.data import Dataset, Split
from headstart.models.backbone import Backbone
from headstart.progress import hushed
from headstart.ranking import prior
from headstart.ranking.folds import FOLDS, folds
from headstart.store import Store
from headstart.tasks.classification import Classification
from headstart.training.run import Run

EPOCHS = 2
MOST = 600  # samples
FEWEST = 50  # with fewer there is next to nothing to learn from, and next to nothing to be judged on
STEP = 3.5  # a training step costs about so many forward passes


def too_few(samples: int, units: int) -> str:
    """Why nothing can be learned and judged; "" where it can."""
    if samples < FEWEST:
        return f"there are {samples} training samples, and at least {FEWEST} are needed"
    return f"the samples come from {units} groups, and at least {FOLDS} are needed" if units < FOLDS else ""


def passes(samples: int) -> float:
    """How many forward passes of a sample it costs about."""
    return (EPOCHS * STEP * 0.48 + (EPOCHS + 2) * 0.12 + 0.4) * samples  # what is learned, watched and judged


def order(shares: np.ndarray, samples: np.ndarray, probed: np.ndarray) -> np.ndarray:
    """(n,) the places of models, the best first.

    What a probe leads to expect is prior knowledge of what fine-tuning gives, as published figures are of what a probe gives, and
    weighs as little: it decides between those that a short fine-tuning cannot tell apart.

    Args:
        shares: (n,) right after a short fine-tuning, each of so many ``samples`` (n,).
        probed: (n,) in log odds, what is expected of a probe.
    """
    estimates, _ = prior.estimated(shares, samples, probed - probed.mean())
    return np.argsort(-estimates, kind="stable")


def right(backbone: Backbone, part: Dataset, units: np.ndarray, seed: int, store: Store) -> np.ndarray:
    """(about 2 n / 5,) 1 where the fine-tuned network is right, on samples that all candidates are judged on.

    Three fifths of the samples are learned from, a fifth of which chooses the epoch.

    Args:
        part: n labelled samples.
        units: (n,) samples of one unit (copies, a patient) are on one side.
    """
    task = Classification.learn(part.labels or [])
    numbers = np.asarray(task.encode(part.labels or []))
    fold = folds(numbers, seed, units)
    judged, inside = np.flatnonzero(fold > 2), np.flatnonzero(fold <= 2)
    inner = folds(numbers[inside], seed + 1, units[inside])
    learned, watched, test = (part.subset(rows) for rows in (inside[inner > 0], inside[inner == 0], judged))
    with hushed():
        made = FineTune(epochs=EPOCHS).fit(backbone, task, Split(learned, watched, test), Run(None, seed, store=store))
    return (np.asarray(made.probabilities(test)).argmax(1) == numbers[judged]).astype(np.float64)
