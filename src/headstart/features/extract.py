"""Backbone + Dataset -> FeatureTable: streamed in bounded memory, decoded beside the computation, cached by content.

On a processor, batches are computed beside each other by threads that each use one core, as many as torch is told to
use, and not one after the other by all cores: an operation split over cores ends when its slowest part does, which costs
most where something else (here the decoding) runs on them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch

from headstart import plugins
from headstart.data.dataset import Dataset, content, content_key
from headstart.data.modalities import Modality
from headstart.features.table import FeatureTable
from headstart.models.backbone import Backbone, fingerprint, grouped
from headstart.models.precision import uses_bfloat16
from headstart.progress import say, track
from headstart.store import Store

CHECKED = 8  # samples on which the fast network is compared with float32
WHOLE = 4  # of these, how many are decoded whole for it, where the fast path decodes at a reduced scale
AGREEMENT = 0.999  # least mean cosine between the fast and the plain features
MARGIN = 2.0  # a picture decoded at a reduced scale keeps this many times the pixels a side that are needed
SAVED = 2048  # computed samples between two writes to the store; an interruption loses no more than this
PARTS = 4  # batches that a window becomes where several are computed beside each other
PATHS = ("scaled", "whole", "plain")  # the fast network on pictures decoded at a reduced scale, or whole; float32


def extract(
    backbone: Backbone, dataset: Dataset, store: Store | None = None, *, fast: bool = True, twins: bool = False, quick: Backbone | None = None
) -> FeatureTable:
    """The pooled features of every sample, in order.

    Memory holds the features and a few batches of decoded samples, whatever the size of the data set.
    The fast path (bfloat16, pictures decoded at a reduced scale) is compared with the plain one (float32, full
    decode) on the first samples; where they disagree the plain one is used, and said.

    Args:
        twins: of every sample's ``Modality.twin`` instead, kept by the content of the sample, so that nothing is decoded to
            find what is known.
        quick: ``backbone.fast()``, where it is at hand.

    Raises:
        UnreadableError: a sample cannot be decoded.
    """
    begun = time.perf_counter()
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    worker = _Extraction(backbone.eval(), modality, dataset, fast, modality.twin if twins else "", quick)
    with worker.pool() as pool, torch.inference_mode():
        keys = list(pool.map(lambda item: content_key(content(item)), dataset.items))
        identity = fingerprint(backbone)
        kept = _Kept(store, f"features-{identity}-{worker.space}", keys, backbone.spec.dim)
        while kept.todo and not worker.agrees(pool, kept.todo[:CHECKED]):
            worker.give_up()
            kept = _Kept(store, f"features-{identity}-{worker.space}", keys, backbone.spec.dim)
        computed = len(kept.todo)
        for places, vectors in track(worker.run(pool, kept.todo), "features", worker.num_batches(computed)):
            kept.add(places, vectors)
        kept.flush()
    precision = worker.precision if computed else "cached"
    seconds = time.perf_counter() - begun
    return FeatureTable(kept.complete(), dataset.labels, dataset.names, computed, precision, seconds)


class _Kept:
    """The features by place; what the store holds of them, and the places (one for each content) that it lacks."""

    def __init__(self, store: Store | None, space: str, keys: list[bytes], dim: int) -> None:
        self.store, self.space, self.keys = store, space, keys
        self.vectors = np.empty((len(keys), dim), np.float32)
        self.first: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            self.first.setdefault(key, place)
        known: set[bytes] = set()
        distinct = list(self.first)
        for start in range(0, len(distinct) if store else 0, SAVED):  # in parts, so as not to hold everything twice
            found = store.get_many(space, distinct[start : start + SAVED]) if store else {}
            for key, blob in found.items():
                self.vectors[self.first[key]] = np.frombuffer(blob, np.float32)
            known.update(found)
        self.todo = [place for key, place in self.first.items() if key not in known]
        self._unsaved: list[int] = []

    def add(self, places: list[int], vectors: np.ndarray) -> None:
        self.vectors[places] = vectors
        self._unsaved += places
        if len(self._unsaved) >= SAVED:
            self.flush()

    def flush(self) -> None:
        if self.store:
            self.store.put_many(self.space, {self.keys[i]: self.vectors[i].tobytes() for i in self._unsaved})
        self._unsaved = []

    def complete(self) -> np.ndarray:
        """(n, dim) with the copies filled in."""
        for place, key in enumerate(self.keys):
            if self.first[key] != place:
                self.vectors[place] = self.vectors[self.first[key]]
        return self.vectors


class _Extraction:
    """One pass over a data set: which path it takes, and the prefetching of decoded samples."""

    def __init__(
        self, backbone: Backbone, modality: Modality, dataset: Dataset, fast: bool, twin: str = "", quick: Backbone | None = None
    ) -> None:
        self.plain = backbone
        if quick:
            self.quick = quick  # in place of the cached property
        self.modality = modality
        self.dataset = dataset
        self.twin = twin
        self.paths: tuple[str, ...] = PATHS if fast else PATHS[-1:]
        if backbone.decode_side() is None:
            self.paths = tuple(path for path in self.paths if path != "scaled")
        self._first: tuple[list[int], np.ndarray] | None = None
        on_processor = any(parameter.device.type == "cpu" for parameter in backbone.parameters())  # none: not torch's
        self.cores = torch.get_num_threads() if on_processor else 1
        self.narrow = any(uses_bfloat16(parameter.device) for parameter in islice(backbone.parameters(), 1))

    @contextmanager
    def pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that decode and, where batches are computed beside each other, compute with one core each."""
        alone: dict[str, Any] = {"initializer": torch.set_num_threads, "initargs": (1,)} if self.cores > 1 else {}
        try:
            with ThreadPoolExecutor(max(_workers(), self.cores), **alone) as pool:
                yield pool
        finally:
            if alone:
                torch.set_num_threads(self.cores)  # what one thread sets holds for threads to come as well

    def beside(self, count: int) -> int:
        """How many batches are computed at once; few samples are rather computed one batch after the other by all cores."""
        return self.cores if count >= self.cores * self.plain.window else 1

    def limit(self, count: int) -> int:
        """The cost of a batch of ``count`` samples."""
        return max(1, self.plain.batch_cost // (PARTS if self.beside(count) > 1 else 1))

    @property
    def path(self) -> str:
        return self.paths[0]

    @property
    def space(self) -> str:
        """Of the store: the path, what a fast one computes in, and what was done to the samples."""
        precision = "" if self.path == "plain" else "bfloat16" if self.narrow else "float32"
        return "-".join(filter(None, (self.path, precision, self.twin)))

    @cached_property
    def quick(self) -> Backbone:
        return self.plain.fast()

    @property
    def used(self) -> Backbone:
        return self.plain if self.path == "plain" else self.quick

    @property
    def precision(self) -> str:
        return str(self.used.precision).removeprefix("torch.")

    def give_up(self) -> None:
        self.paths = self.paths[1:]

    def num_batches(self, computed: int) -> int | None:
        """For the bar: known where all samples cost the same."""
        return -(-computed // self.limit(computed)) if self.plain.window == self.plain.batch_cost else None

    def run(self, pool: ThreadPoolExecutor, todo: list[int]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Places and their features (len(places), dim), batch by batch; decoded two windows ahead."""
        beside, limit = self.beside(len(todo)), self.limit(len(todo))
        if self._first and self._first[0] == todo[: len(self._first[0])]:  # computed for the check: not again
            yield self._first
            todo = todo[len(self._first[0]) :]
        window = self.plain.window
        windows = [todo[i : i + window] for i in range(0, len(todo), window)]
        part = max(1, window // 8)
        ahead: deque[list[Future]] = deque()
        computing: deque[tuple[list[int], Future[np.ndarray]]] = deque()
        for number in range(len(windows) + 2):
            if number < len(windows):
                some = windows[number]
                parts = [some[i : i + part] for i in range(0, len(some), part)]
                ahead.append([pool.submit(self._shaped, places) for places in parts])
            if number >= 2 and ahead:
                places = windows[number - 2]
                shaped = [value for future in ahead.popleft() for value in future.result()]
                for group in grouped([self.plain.cost(value) for value in shaped], limit):
                    inside, members = [places[i] for i in group], [shaped[i] for i in group]
                    if beside == 1:
                        yield inside, _features(self.used, members)
                        continue
                    computing.append((inside, pool.submit(_features, self.used, members)))
                    while len(computing) > beside:
                        done, vectors = computing.popleft()
                        yield done, vectors.result()
        for done, vectors in computing:
            yield done, vectors.result()

    def _shaped(self, places: Sequence[int], *, whole: bool = False) -> list[Any]:
        side = self.plain.decode_side() if self.path == "scaled" and not whole else None
        least = side and round(side * MARGIN)
        items, names = self.dataset.items, self.dataset.names
        values = [self.modality.decode(items[i], least, names[i]) for i in places]
        if self.twin:
            values = [self.modality.augment(value, np.random.default_rng(0), (self.twin,)) for value in values]
        return self.plain.shapes(values)

    def agrees(self, pool: ThreadPoolExecutor, places: list[int]) -> bool:
        """Whether this path gives the plain features on these samples; says so where it does not."""
        self._first = None
        if self.path == "plain":
            return True
        count = WHOLE if self.path == "scaled" else 0
        shaped = [value for (value,) in pool.map(lambda place: self._shaped([place]), places)]
        whole = [value for (value,) in pool.map(lambda place: self._shaped([place], whole=True), places[:count])]
        quick, plain = _features(self.used, shaped), _features(self.plain, whole + shaped[count:])
        parts = [(quick[:count], plain[:count]), (quick[count:], plain[count:])]
        agreement = min(_cosine(one, other) for one, other in parts if len(one))
        if agreement >= AGREEMENT:
            self._first = places, quick
            return True
        slower = "computing in float32" if self.paths[1] == "plain" else "decoding pictures whole"
        say(
            f"Fast features ({self.path}, {self.precision}) differ from the plain ones (cosine {agreement:.4f}, at least "
            f"{AGREEMENT} wanted); {slower} from here on, which is slower."
        )
        return False


@torch.inference_mode()  # which holds for one thread
def _features(backbone: Backbone, shaped: list[Any]) -> np.ndarray:
    return backbone(backbone.batch(shaped)).vector.float().cpu().numpy()


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The mean cosine of the rows of two arrays (n, dim)."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(lengths, 1e-12)).mean())


def _workers() -> int:
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2)
