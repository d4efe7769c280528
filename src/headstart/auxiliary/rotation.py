"""By how many quarter turns was the picture rotated?

Gidaris, Singh and Komodakis 2018, Unsupervised Representation Learning by Predicting Image Rotations, arXiv 1803.07728.
There each picture is shown in all four ways; here, to compute no more than the target does, in one drawn anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from headstart.auxiliary import Auxiliary, Question, Recipe
from headstart.errors import Incompatible
from headstart.models.backbone import Backbone
from headstart.tasks._heads import LinearHead
from headstart.training.batches import Batch

TURNS = 4


@dataclass(frozen=True)
class Rotation(Auxiliary):
    """For pictures whose prepared form is square."""

    def begin(self, backbone: Backbone, size: int, recipe: Recipe, seed: int) -> Question:
        if backbone.card.modality != "image":
            raise Incompatible(
                f"The helper rotation turns pictures, and {backbone.reference} takes samples of the kind "
                f"{backbone.card.modality!r}. For texts there is --helper masked; another labelled data set, "
                "--helper NAME=DATA, helps with any kind"
            )

        def posed(shown: Iterable[Batch], epoch: int) -> Iterator[Batch]:
            for number, batch in enumerate(shown):
                turns = np.random.default_rng([seed, epoch, number, 4]).integers(TURNS, size=len(batch.labels))
                yield replace(
                    batch, inputs=turned(batch.inputs, turns), labels=torch.from_numpy(turns).to(batch.labels.device)
                )

        return Question(LinearHead(backbone.spec.dim, TURNS), posed)


def turned(inputs: object, turns: np.ndarray) -> Tensor:
    """Pictures (n, channels, side, side), each rotated by its number (n,) of quarter turns.

    Raises:
        Incompatible: they are not square.
    """
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.shape[-1] != inputs.shape[-2]:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise Incompatible(
            f"The helper rotation needs pictures that the model takes as squares, (n, channels, side, side), got {shape}. "
            "Leave it out, or choose a model with square inputs"
        )
    return torch.stack([torch.rot90(picture, int(turn), (-2, -1)) for picture, turn in zip(inputs, turns, strict=True)])
