"""A short fine-tuning of a candidate, for those who will fine-tune: what a probe gets right says little of what a network can learn."""

from __future__ import annotations

import numpy as np

from headstart.approaches.finetune import FineTune
from headstart.data import Dataset, Split
from headstart.errors import DataError
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


def split(part: Dataset, units: np.ndarray, seed: int) -> tuple[Split, str]:
    """Samples to learn from, to choose the epoch by and to judge by, the same for every candidate; and what was left out of the last.

    Args:
        part: n labelled samples.
        units: (n,) samples of one unit (copies, a patient) are on one side.

    Raises:
        DataError: too few samples, groups or classes.
    """
    if len(part) < FEWEST:
        raise DataError(f"there are {len(part)} training samples, and at least {FEWEST} are needed")
    if (groups := len(np.unique(units))) < FOLDS:
        raise DataError(f"the samples come from {groups} groups, and at least {FOLDS} are needed")
    numbers = np.unique(np.asarray(part.labels, dtype=str), return_inverse=True)[1]
    fold = folds(numbers, seed, units)
    judged, inside = np.flatnonzero(fold > 2), np.flatnonzero(fold <= 2)
    inner = folds(numbers[inside], seed + 1, units[inside])
    learned, watched = inside[inner > 0], inside[inner == 0]
    known = np.isin(numbers[judged], numbers[learned])
    if len(np.unique(numbers[learned])) < 2 or 2 * known.sum() < len(judged):
        raise DataError("groups and classes fall together, so that most samples to be judged are of classes that nothing was learned of")
    left = f"{(~known).sum()} of the {len(judged)} samples to judge a short fine-tuning by are of classes that nothing was learned of"
    parted = Split(part.subset(learned), part.subset(watched), part.subset(judged[known]))
    return parted, "" if known.all() else f"{left}: they were left out"


def passes(samples: int) -> float:
    """How many forward passes of a sample it costs about."""
    return (EPOCHS * STEP * 0.48 + (EPOCHS + 2) * 0.12 + 0.4) * samples  # what is learned, watched and judged


def order(shares: np.ndarray, samples: np.ndarray, probed: np.ndarray) -> np.ndarray:
    """(n,) the places of models, the best first.

    What a probe leads to expect is prior knowledge of what fine-tuning gives, as published figures are of what a probe gives, and
    weighs as little: it tips what is close.

    Args:
        shares: (n,) right after a short fine-tuning, each of so many ``samples`` (n,).
        probed: (n,) in log odds, what is expected of a probe.
    """
    estimates, _ = prior.estimated(shares, samples, probed - probed.mean())
    return np.argsort(-estimates, kind="stable")


def right(backbone: Backbone, parted: Split, seed: int, store: Store) -> np.ndarray:
    """(n,) 1 where the fine-tuned network is right about the samples to be judged by."""
    task = Classification.learn([*(parted.train.labels or []), *(parted.valid.labels or [])])
    with hushed():
        made = FineTune(epochs=EPOCHS).fit(backbone, task, parted, Run(None, seed, store=store))
    answers = np.asarray(made.probabilities(parted.test)).argmax(1)
    return (answers == np.asarray(task.encode(parted.test.labels or []))).astype(np.float64)
