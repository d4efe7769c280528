"""FeatureTable: the pooled features of a data set, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FeatureTable:
    """Features of n samples.

    Attributes:
        vectors: (n, dim) float32.
        labels: n class names, or None.
        names: n sample names.
        computed: how many were computed now; the others came from the cache.
        precision: "bfloat16" or "float32", as they were computed; "cached" where nothing was computed.
        seconds: wall-clock time it took.
    """

    vectors: np.ndarray
    labels: Sequence[str] | None
    names: Sequence[str]
    computed: int
    precision: str
    seconds: float

    def __len__(self) -> int:
        return len(self.vectors)
