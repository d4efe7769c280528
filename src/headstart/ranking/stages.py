"""What a network knows before its end, for those who will fine-tune it.

The last features are made for the pretraining task. On data that is far from it an earlier stage often tells the classes better
(Yosinski et al. 2014, arXiv 1411.1792), and fine-tuning can bring that to the end, which a probe of the last features does not see.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from headstart.data import Dataset
from headstart.errors import Incompatible
from headstart.features.depth import watch
from headstart.features.table import FeatureTable
from headstart.models.backbone import Backbone
from headstart.ranking.evidence import REPEATS, Evidence
from headstart.ranking.folds import folds
from headstart.ranking.scorers import class_numbers, linear
from headstart.store import Store

SHARE = 1 / 3  # of the best stage in what counts; between 0.2 and 0.6 the choices of benchmarks/ranking.py stay the same


@dataclass(frozen=True)
class Best:
    """The stage of a backbone whose output tells the classes best.

    Attributes:
        stage: its name.
        right: (n,) between 0 and 1: how often held-out answers of a linear probe on its output were right for the sample.
    """

    stage: str
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def table(
    backbone: Backbone, part: Dataset, units: np.ndarray | None, seed: int, store: Store | None, *, fast: bool = True
) -> tuple[FeatureTable, Best]:
    """The features of n labelled samples, and the best stage by the cross-validated probe that the features are judged by, of one pass.

    Args:
        units: (n,) samples of one unit (copies, a patient) share a fold.
        fast: as for ``watch``.

    Raises:
        Incompatible: the stages cannot be watched.
        UnreadableError: a sample cannot be decoded.
    """
    begun = time.perf_counter()
    seen = watch(backbone, part, store, fast=fast)
    made = FeatureTable(seen.end, part.labels, part.names, seen.computed, seen.precision, time.perf_counter() - begun)
    numbers, num_classes = class_numbers(made)
    splits = [folds(numbers, seed + repeat, units) for repeat in range(REPEATS)]
    found = []
    for stage, vectors in zip(backbone.stages, seen.stages, strict=True):
        if vectors.std(0).max() > 0:  # what is constant tells nothing
            answers = linear.predictions(vectors, numbers, num_classes, splits)
            found.append(Best(stage.name, (answers == numbers).mean(0)))
    if not found:
        raise Incompatible("what its stages output is the same for all samples")
    return made, max(found, key=lambda entry: entry.accuracy)


def weighed(evidence: Evidence, stage: Best) -> np.ndarray:
    """(n,) what counts for fine-tuning: how often the last features were right, and, where a stage before them is better, that."""
    if stage.accuracy <= evidence.right.mean():
        return evidence.right
    return (1 - SHARE) * evidence.right + SHARE * stage.right
