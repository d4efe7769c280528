"""Training batches: decoded once where memory allows, augmented and shaped in threads beside the computation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.models.backbone import Backbone

LEAST_STEPS = 10  # an epoch; validating after every one or two steps would cost more than the steps
KEPT = 2 * 1024**3  # bytes of decoded samples that are kept in memory


@dataclass(frozen=True)
class Batch:
    """Inputs (n, ...), class numbers (n,), the places (n,) of the samples in the data set, and the view."""

    inputs: Tensor
    labels: Tensor
    places: np.ndarray
    view: int


@dataclass
class Batches:
    """The batches of an epoch are a function of the seed and the epoch's number alone.

    Attributes:
        recipe: names of augmentations that the modality knows, such as ("crop", "flip").
        views: where set, augmentation repeats itself after this many epochs.
    """

    dataset: Dataset
    labels: np.ndarray
    backbone: Backbone
    size: int
    recipe: tuple[str, ...] = ()
    seed: int = 0
    views: int = 0
    _decoded: dict[int, np.ndarray] = field(default_factory=dict)
    _kept: int = 0

    def __len__(self) -> int:
        """Batches an epoch. A last, smaller batch is left out unless it is the only one; the order changes
        with every epoch, so every sample has its turn. Small data sets are passed several times an epoch."""
        return self._passes * max(1, len(self.dataset) // self.size)

    @property
    def _passes(self) -> int:
        return math.ceil(LEAST_STEPS / max(1, len(self.dataset) // self.size)) if self.recipe else 1

    def view(self, epoch: int) -> int:
        return epoch % self.views if self.views else epoch

    def __call__(self, epoch: int) -> Iterator[Batch]:
        chunks = list(self._chunks(epoch))
        with ThreadPoolExecutor(2) as pool:
            ahead: deque[tuple[np.ndarray, int, list[Future]]] = deque()
            for number in range(len(chunks) + 2):
                if number < len(chunks):
                    chunk = chunks[number]
                    view = self.view(epoch * self._passes + number * self._passes // len(chunks))
                    ahead.append((chunk, view, [pool.submit(self._sample, int(i), view) for i in chunk]))
                if number >= 2 and ahead:
                    chunk, view, futures = ahead.popleft()
                    inputs = self.backbone.batch([future.result() for future in futures])
                    yield Batch(inputs, torch.from_numpy(self.labels[chunk]).to(inputs.device), chunk, view)

    def _chunks(self, epoch: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self._passes):
            order = rng.permutation(len(self.dataset))
            yield from (order[i : i + self.size] for i in range(0, len(order) - self.size + 1, self.size))

    def _sample(self, place: int, view: int) -> np.ndarray:
        return self.backbone.shape(self.augmented(place, view), whole=bool(self.recipe))

    def augmented(self, place: int, view: int) -> np.ndarray:
        """The decoded sample as the augmentation of this view shows it; the sample itself without a recipe."""
        value = self._value(place)
        if not self.recipe:
            return value
        return self._modality.augment(value, np.random.default_rng([self.seed, place, view]), self.recipe)

    def _value(self, place: int) -> np.ndarray:
        value = self._decoded.get(place)
        if value is None:
            side = self.backbone.decode_side()
            value = self._modality.decode(self.dataset.items[place], side and round(side * 1.25))
            if self._kept + value.nbytes <= KEPT:
                self._decoded[place] = value
                self._kept += value.nbytes
        return value

    @cached_property
    def _modality(self) -> Modality:
        return plugins.variant("data.modalities", self.dataset.modality, Modality)()
