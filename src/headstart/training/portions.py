"""Batches in portions: for less memory at once, and for several processes."""

from __future__ import annotations

import itertools
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from headstart.training.batches import Batch


def num_samples(batch: Any) -> int:
    """The samples in a batch: the length of its labels, or of the first array in a batch of another kind.

    Raises:
        TypeError: there is no array in it.
    """
    if isinstance(batch, Batch):
        return len(batch.labels)
    if isinstance(batch, (Tensor, np.ndarray)) and batch.ndim:
        return len(batch)
    for part in _parts(batch).values():
        try:
            return num_samples(part)
        except TypeError:
            continue
    raise TypeError(f"a batch of the type {type(batch).__name__} holds no arrays, so it cannot be divided")


def divided(batch: Any, num: int) -> list[tuple[Any, float]]:
    """At most ``num`` portions of nearly equal size and the share of the batch in each; the shares sum to 1.

    Every array (n, ...) of n samples is cut along its first axis; whatever else the batch holds goes into each portion.
    """
    if num == 1:
        return [(batch, 1.0)]
    n = num_samples(batch)
    bounds = [round(i * n / num) for i in range(num + 1)]
    pairs = [(low, high) for low, high in itertools.pairwise(bounds) if high > low]
    return [(_cut(batch, n, low, high), (high - low) / n) for low, high in pairs]


def _cut(part: Any, n: int, low: int, high: int) -> Any:
    if isinstance(part, (Tensor, np.ndarray)):
        return part[low:high] if part.ndim and len(part) == n else part
    if isinstance(part, dict) and "owner" in part:  # windows of sounds: any number of rows a sample, see SoundBackbone
        rows = (part["owner"] >= low) & (part["owner"] < high)
        packed = {key: value[rows] for key, value in part.items() if key not in ("owner", "count")}
        return {**packed, "owner": part["owner"][rows] - low, "count": part["count"][low:high]}
    inner = {key: _cut(value, n, low, high) for key, value in _parts(part).items()}
    if isinstance(part, dict):
        return inner
    if isinstance(part, (list, tuple)):
        return type(part)(inner.values())
    return replace(part, **inner) if inner else part


def _parts(batch: Any) -> dict[Any, Any]:
    if isinstance(batch, dict):
        return batch
    if isinstance(batch, (list, tuple)):
        return dict(enumerate(batch))
    return {f.name: getattr(batch, f.name) for f in fields(batch)} if is_dataclass(batch) else {}
