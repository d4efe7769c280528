"""Training batches: decoded once where memory allows, augmented and shaped in threads beside the computation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart import plugins
from headstart.data import augment
from headstart.data.augment import Augmentation
from headstart.data.dataset import Dataset, Value
from headstart.data.modalities import Modality
from headstart.models.backbone import Backbone, Inputs

LEAST_STEPS = 10  # an epoch; validating after every one or two steps would cost more than the steps
POOL = 16  # batches whose samples are sorted by cost together
KEPT = 2 * 1024**3  # bytes of decoded samples that are kept in memory


@dataclass(frozen=True)
class Batch:
    """Inputs (n, ...), class numbers (n,), the places (n,) of the samples in the data set, and the view.

    ``plain``: where asked for, the inputs of the same samples without augmentation.
    """

    inputs: Inputs
    labels: Tensor
    places: np.ndarray
    view: int
    plain: Inputs | None = None


@dataclass
class Batches:
    """The batches of an epoch are a function of the seed and the epoch's number alone.

    Attributes:
        recipe: augmentations or the names of some that the modality has, such as ("crop", "rotate:15"); "auto" stands for
            its usual ones. Afterwards it holds what they are called, in the order they are applied.
        steps: the augmentations themselves.
        views: where set, augmentation repeats itself after this many epochs.
        kinds: (n,) numbers of groups (data sets, say) of which each epoch draws as many samples as of any other; None draws
            every sample once.
        with_plain: whether a batch also holds its samples as they are; not where nothing is augmented.
    """

    dataset: Dataset
    labels: np.ndarray
    backbone: Backbone
    size: int
    recipe: tuple[str | Augmentation, ...] = ()
    seed: int = 0
    views: int = 0
    kinds: np.ndarray | None = None
    with_plain: bool = False
    steps: tuple[Augmentation, ...] = field(init=False)
    _decoded: dict[int, Value] = field(default_factory=dict)
    _kept: int = 0

    def __post_init__(self) -> None:
        self.steps = augment.steps(self.dataset.modality, self.recipe)
        self.recipe = tuple(map(str, self.steps))

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
        chunks = list(self.chunks(epoch))
        with ThreadPoolExecutor(2) as pool:
            ahead: deque[tuple[np.ndarray, int, list[Future]]] = deque()
            for number in range(len(chunks) + 2):
                if number < len(chunks):
                    chunk = chunks[number]
                    view = self.view(epoch * self._passes + number * self._passes // len(chunks))
                    ahead.append((chunk, view, [pool.submit(self._shown, int(i), view) for i in chunk]))
                if number >= 2 and ahead:
                    chunk, view, futures = ahead.popleft()
                    changed, plain = zip(*(future.result() for future in futures), strict=True)
                    device = next(self.backbone.parameters()).device
                    labels = torch.from_numpy(self.labels[chunk]).to(device)
                    same = self.backbone.batch(list(plain)) if self._twice else None
                    yield Batch(self.backbone.batch(list(changed)), labels, chunk, view, same)

    @property
    def _twice(self) -> bool:
        """Whether a sample as it is differs from what is shown of it."""
        return self.with_plain and any(not step.bounds for step in self.steps)

    def _shown(self, place: int, view: int) -> tuple[Any, Any]:
        """A sample augmented and, where asked for, as it is."""
        return self.sample(place, view), self.plain(place, view) if self._twice else None

    def chunks(self, epoch: int) -> Iterator[np.ndarray]:
        """The places of the samples of each batch of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self._passes):
            order = self._order(rng)
            order = order[: len(order) // self.size * self.size]
            if self._costs is None:
                yield from order.reshape(-1, self.size)
                continue
            # Samples of like cost share a batch, within a pool of neighbours in the random order: hardly any
            # padding, and still another order every epoch.
            pool = POOL * self.size
            sorted_pools = [
                some[np.argsort(self._costs[some], kind="stable")]
                for some in (order[i : i + pool] for i in range(0, len(order), pool))
            ]
            chunks = np.concatenate(sorted_pools).reshape(-1, self.size)
            yield from chunks[rng.permutation(len(chunks))]

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """(n,) places. Of small groups every sample comes again and again, of large ones some have to wait."""
        number = len(self.dataset)
        if self.kinds is None:
            return rng.permutation(number)
        kinds = np.unique(self.kinds)
        each = -(-number // len(kinds))
        drawn = [np.resize(rng.permutation(np.flatnonzero(self.kinds == kind)), each) for kind in kinds]
        return rng.permutation(np.concatenate(drawn))[:number]

    @cached_property
    def _costs(self) -> np.ndarray | None:
        """(n,) what each sample costs as the first view shows it; None where all cost the same.

        A few at a time: of long recordings only the piece that is trained on is ever shaped.
        """
        if self.backbone.window == self.backbone.batch_cost:
            return None
        costs: list[int] = []
        for start in range(0, len(self.dataset), self.backbone.window):
            places = range(start, min(start + self.backbone.window, len(self.dataset)))
            shaped = self.backbone.shapes([self.augmented(place, 0) for place in places])
            costs += [self.backbone.cost(value) for value in shaped]
        return np.array(costs)

    def sample(self, place: int, view: int) -> Any:
        """One sample as the backbone takes it, augmented as in this view."""
        return self.backbone.shape(self.augmented(place, view), whole=bool(self.recipe))

    def plain(self, place: int, view: int) -> Any:
        """One sample as the backbone takes it, without augmentation but for what bounds its size."""
        bounding = tuple(step for step in self.steps if step.bounds)
        return self.backbone.shape(self._changed(place, view, bounding), whole=bool(bounding))

    def augmented(self, place: int, view: int) -> Value:
        """The decoded sample as the augmentation of this view shows it; the sample itself without a recipe."""
        return self._changed(place, view, self.steps)

    def _changed(self, place: int, view: int, steps: tuple[Augmentation, ...]) -> Value:
        value = self._value(place)
        return augment.augmented(value, np.random.default_rng([self.seed, place, view]), steps) if steps else value

    def _value(self, place: int) -> Value:
        value = self._decoded.get(place)
        if value is None:
            side = self.backbone.decode_side()
            item, name = self.dataset.items[place], self.dataset.names[place]
            value = self._modality.decode(item, side and round(side * 1.25), name)
            size = getattr(value, "nbytes", 0) or len(value)  # type: ignore[arg-type]
            if self._kept + size <= KEPT:
                self._decoded[place] = value
                self._kept += size
        return value

    @cached_property
    def _modality(self) -> Modality:
        return plugins.variant("data.modalities", self.dataset.modality, Modality)()
