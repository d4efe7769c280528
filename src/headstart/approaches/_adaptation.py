"""What domain adaptation shares: a labelled source, an unlabelled target, and a head fitted on the features of both."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
from torch import nn

from headstart.approaches import Approach, check
from headstart.approaches._rows import Pair
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.errors import DataError, Incompatible
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.progress import say
from headstart.tasks import Head, Task
from headstart.tasks.classification import Classification
from headstart.training.run import Run

LEAST = 2  # target samples; one says nothing about a distribution


class Adaptation(Approach):
    """An approach for ``split.unlabeled``. ``learn`` works on cached features of any backbone, in seconds.

    ``fit`` is usually ``fit_on_features``, which calls ``learn``. ``uses_known``: whether it learns from labelled target
    rows, and is nothing without.
    """

    uses_known: ClassVar[bool] = False

    @abstractmethod
    def learn(self, pair: Pair, run: Run) -> Head:
        """A head on raw features for the target, from the rows of both domains. The same pair gives the same head."""


def fit_on_features(approach: Adaptation, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
    """The backbone stays as it is; the head is adapted."""
    check(approach, backbone)
    target_of(approach, split)
    pair = paired(backbone, task, split, run)
    head = approach.learn(pair, run)
    return Predictor(backbone.eval(), head.eval(), task, split.train.modality)


def target_of(approach: Approach, split: Split) -> Dataset:
    """The unlabelled samples of the target.

    Raises:
        Incompatible: there is no target.
        DataError: the target has a single sample.
    """
    name = type(approach).__module__.rpartition(".")[2]
    if split.unlabeled is None:
        raise Incompatible(
            f"The approach {name} adapts to a target domain, and there is none. Give one: --target FOLDER (target=... in "
            "Python); it needs no labels. Without a target, probe and finetune work."
        )
    if len(split.unlabeled) < LEAST:
        raise DataError(
            f"The target has {len(split.unlabeled)} sample, which says nothing about a distribution. Give at least "
            f"{LEAST}; a few dozen make a method worth while."
        )
    return split.unlabeled


def classes_of(task: Task) -> int:
    """How many classes the task has.

    Raises:
        Incompatible: it is not a task of one class for each sample.
    """
    if not isinstance(task, Classification):
        raise Incompatible(
            f"Domain adaptation aligns classes, and the task is {task.to_dict().get('kind')}; probe and finetune work."
        )
    return len(task.classes)


def paired(backbone: Backbone, task: Task, split: Split, run: Run) -> Pair:
    """The features of the source's training samples and of the target."""
    num_classes = classes_of(task)
    assert split.unlabeled is not None, "target_of refuses a split without"
    source, target = extract(backbone, split.train, run.store), extract(backbone, split.unlabeled, run.store)
    say(f"{run.stage or 'adaptation'}: {len(source)} source and {len(target)} target samples, {source.vectors.shape[1]} "
        f"features ({source.computed + target.computed} computed, {source.seconds + target.seconds:.1f} s)")  # fmt: skip
    pair = Pair(source.vectors, task.encode(split.train.labels or []), target.vectors, num_classes)
    if split.labelled is None:
        return pair
    known = extract(backbone, split.labelled, run.store).vectors
    return replace(pair, known=known, known_labels=task.encode(split.labelled.labels or []))


def has_batch_norms(backbone: Backbone) -> bool:
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in backbone.modules())


def logits_of(head: Head, rows: np.ndarray) -> np.ndarray:
    """(n, k) float64 logits of rows (n, dim), in parts."""
    import torch

    from headstart.models.backbone import Features

    head = head.eval()
    with torch.inference_mode():
        parts = [head(Features(torch.from_numpy(rows[i : i + 4096]))).double() for i in range(0, len(rows), 4096)]
        return torch.cat(parts).cpu().numpy() if parts else np.empty((0, 0))
