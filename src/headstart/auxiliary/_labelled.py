"""Another labelled data set as a helper: its own task, on samples of the same kind as the target's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from headstart.auxiliary import Auxiliary, Question, Recipe
from headstart.data.dataset import Dataset
from headstart.models.backbone import Backbone
from headstart.tasks import Task
from headstart.training.batches import Batch, Batches


@dataclass(frozen=True)
class Labelled(Auxiliary):
    """Args:
    dataset: samples to train on; those of a small one come again and again.
    task: what its labels state.
    """

    dataset: Dataset
    task: Task

    def begin(self, backbone: Backbone, size: int, recipe: Recipe, seed: int) -> Question:
        whole = self.dataset.subset(np.resize(np.arange(len(self.dataset)), max(size, len(self.dataset))))
        batches = Batches(whole, self.task.encode(whole.labels or []), backbone, size, tuple(recipe), seed + 1)

        def posed(shown: Iterable[Batch], epoch: int) -> Iterator[Batch]:
            # an epoch of the target may be many of a small helper: none of them repeats the order of another
            own = itertools.chain.from_iterable(batches(1000 * epoch + more) for more in itertools.count())
            for _ in shown:
                yield next(own)

        return Question(self.task.head(backbone.spec.dim), posed)
