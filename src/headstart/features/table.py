"""FeatureTable: the pooled features of a data set, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Origin:
    """What is known of the model behind the features, for those who judge models.

    Attributes:
        parameters: of the backbone.
        published: its published accuracy on the data it was trained for, between 0 and 1; None where unknown.
        source_probs: (n, source classes) what its own classifier says of the samples; None where it has none.
    """

    parameters: int | None = None
    published: float | None = None
    source_probs: np.ndarray | None = None


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
        origin: what is known of the model, where somebody looked it up.
    """

    vectors: np.ndarray
    labels: Sequence[str] | None
    names: Sequence[str]
    computed: int
    precision: str
    seconds: float
    origin: Origin = Origin()

    def __len__(self) -> int:
        return len(self.vectors)
