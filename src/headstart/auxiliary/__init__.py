"""The contract of helpers: a question asked beside the target's, whose answers do not count. One file is one question.

A question is made of the target's own training samples, without their labels, or (``_labelled``) of another labelled data
set. It is written as a text, its name and its settings: ``"masked:0.15"``; how much it may move the shared weights is
decided step by step where it is trained (``approaches/_beside.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from headstart import plugins
from headstart.data.augment import Augmentation
from headstart.models.backbone import Backbone
from headstart.tasks import Head
from headstart.training.batches import Batch

Recipe = Sequence[str | Augmentation]  # of augmentations, as ``Batches`` takes it


@dataclass(frozen=True)
class Question:
    """What a helper trains.

    Attributes:
        head: a fresh one on the features of the backbone; it is thrown away afterwards.
        posed: batches of the target in an epoch, and the number of the epoch -> a batch of questions for each of them; the
            same for the same epoch.
    """

    head: Head
    posed: Callable[[Iterable[Batch], int], Iterator[Batch]]


class Auxiliary(ABC):
    """A frozen dataclass of settings with one verb."""

    @abstractmethod
    def begin(self, backbone: Backbone, size: int, recipe: Recipe, seed: int) -> Question:
        """The question for a backbone.

        Args:
            size: samples in a batch of the target.
            recipe: how the target's samples are augmented.

        Raises:
            Incompatible: it cannot be asked of this backbone.
        """


def listed(text: str) -> dict[str, Auxiliary]:
    """The questions that a text such as ``"rotation,masked:0.2"`` names.

    Raises:
        ConfigError: there is no such question or setting.
    """
    spelled = plugins.spelled
    return {
        entry.partition(":")[0]: spelled("auxiliary", entry, Auxiliary, "$.approach.helper")
        for entry in filter(None, text.split(","))
    }
