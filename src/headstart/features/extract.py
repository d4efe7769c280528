"""Backbone + Dataset -> FeatureTable: streamed in bounded memory, decoded beside the computation, cached by content."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch

from headstart import plugins
from headstart.data.dataset import Dataset, Item, content, content_key
from headstart.data.modalities import Modality
from headstart.features.table import FeatureTable
from headstart.models.backbone import Backbone, fingerprint
from headstart.progress import say, track
from headstart.store import Store

BATCH = 32  # samples; larger batches leave the processor's cache and are slower
CHECKED = 8  # samples of the first batch that are compared with the plain computation
AGREEMENT = 0.999  # least mean cosine between the fast and the plain features
MARGIN = 2.0  # a picture decoded at a reduced scale keeps this many times the pixels a side that are needed
PATHS = ("scaled", "whole", "plain")  # the fast network on pictures decoded at a reduced scale, or whole; float32


def extract(backbone: Backbone, dataset: Dataset, store: Store | None = None, *, fast: bool = True) -> FeatureTable:
    """The pooled features of every sample, in order.

    Memory holds the features and a few batches of decoded samples, whatever the size of the data set.
    The fast path (folded batch norms, bfloat16, pictures decoded at a reduced scale) is compared with the plain
    one (float32, full decode) on the first samples; where they disagree the plain one is used, and said.

    Raises:
        UnreadableError: a sample cannot be decoded.
    """
    begun = time.perf_counter()
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    worker = _Extraction(backbone.eval(), modality, PATHS if fast else PATHS[-1:])
    with ThreadPoolExecutor(_workers()) as pool, torch.inference_mode():
        keys = list(pool.map(lambda item: content_key(content(item)), dataset.items))
        identity = fingerprint(backbone)
        kept = _Kept(store, f"features-{identity}-{worker.path}", keys)
        while kept.todo and not worker.agrees(pool, [dataset.items[i] for i in kept.todo[:CHECKED]]):
            worker.give_up()
            kept = _Kept(store, f"features-{identity}-{worker.path}", keys)
        chunks = [kept.todo[i : i + BATCH] for i in range(0, len(kept.todo), BATCH)]
        batches = worker.run(pool, dataset, chunks)
        for chunk, values in zip(chunks, track(batches, "features", len(chunks)), strict=False):
            kept.add([keys[i] for i in chunk], values)
        kept.flush()
    vectors = np.empty((len(dataset), backbone.spec.dim), np.float32)
    for i, key in enumerate(keys):
        vectors[i] = np.frombuffer(kept.known[key], np.float32)
    seconds = time.perf_counter() - begun
    precision = worker.precision if kept.todo else "cached"
    return FeatureTable(vectors, dataset.labels, dataset.names, len(kept.todo), precision, seconds)


class _Kept:
    """The features that are known by content, and the places of the samples (one for each content) that lack them."""

    def __init__(self, store: Store | None, space: str, keys: list[bytes]) -> None:
        self.store, self.space = store, space
        self.known = store.get_many(space, list(dict.fromkeys(keys))) if store else {}
        first: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        self.todo = [i for key, i in first.items() if key not in self.known]
        self._unsaved: dict[bytes, bytes] = {}

    def add(self, keys: list[bytes], vectors: np.ndarray) -> None:
        fresh = {key: vector.tobytes() for key, vector in zip(keys, vectors, strict=True)}
        self.known.update(fresh)
        self._unsaved.update(fresh)
        if len(self._unsaved) >= 64 * BATCH:  # an interruption loses no more than this
            self.flush()

    def flush(self) -> None:
        if self.store:
            self.store.put_many(self.space, self._unsaved)
        self._unsaved = {}


class _Extraction:
    """One pass over a data set: which path it takes, and the prefetching of decoded samples."""

    def __init__(self, backbone: Backbone, modality: Modality, paths: tuple[str, ...]) -> None:
        self.plain = backbone
        self.modality = modality
        self.paths = paths

    @property
    def path(self) -> str:
        return self.paths[0]

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

    def run(self, pool: ThreadPoolExecutor, dataset: Dataset, chunks: list[list[int]]) -> Iterator[np.ndarray]:
        """(len(chunk), dim) features of each chunk of sample numbers, decoded two chunks ahead."""
        ahead: deque[list[Future]] = deque()
        for number in range(len(chunks) + 2):
            if number < len(chunks):
                ahead.append([pool.submit(self._shaped, dataset.items[i]) for i in chunks[number]])
            if number >= 2 and ahead:
                shaped = [future.result() for future in ahead.popleft()]
                yield self._features(self.used, shaped)

    def _shaped(self, item: Item) -> np.ndarray:
        side = self.plain.decode_side() if self.path == "scaled" else None
        return self.plain.shape(self.modality.decode(item, side and round(side * MARGIN)))

    @staticmethod
    def _features(backbone: Backbone, shaped: list[np.ndarray]) -> np.ndarray:
        return backbone(backbone.batch(shaped)).vector.float().cpu().numpy()

    def agrees(self, pool: ThreadPoolExecutor, items: list[Item]) -> bool:
        """Whether this path gives the plain features on these samples; says so where it does not."""
        if self.path == "plain":
            return True
        quick = self._features(self.used, list(pool.map(self._shaped, items)))
        plain = self._features(
            self.plain, list(pool.map(lambda item: self.plain.shape(self.modality.decode(item)), items))
        )
        lengths = np.linalg.norm(quick, axis=1) * np.linalg.norm(plain, axis=1)
        agreement = float(((quick * plain).sum(1) / np.maximum(lengths, 1e-12)).mean())
        if agreement >= AGREEMENT:
            return True
        slower = {"scaled": "decoding pictures whole", "whole": "computing in float32"}[self.path]
        say(
            f"Fast features ({self.path}, {self.precision}) differ from the plain ones (cosine {agreement:.4f}, at least "
            f"{AGREEMENT} wanted); {slower} from here on, which is slower."
        )
        return False


def _workers() -> int:
    return max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2)
