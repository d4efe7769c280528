"""The contract of synthetic samples: small classes get more rows of features, made from the rows there are.

One file is one way. It is written as a text, its name and its settings: ``"smote:5"``. Synthetic rows are for fitting
alone: whoever cross-validates makes them within each fold, from its training rows only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from headstart import plugins


class Synthetic(ABC):
    """A frozen dataclass of settings.

    Attributes:
        least: rows of a class below which nothing can be made from it.
    """

    least: ClassVar[int] = 1

    @abstractmethod
    def rows(self, own: np.ndarray, every: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """New rows (count, dim) of a class from its ``own`` rows (m, dim) and those of ``every`` class (n, dim)."""


def named(text: str) -> Synthetic | None:
    """What a setting such as ``"smote:5"`` names; None of an empty one.

    Raises:
        ConfigError: there is no such way or setting.
    """
    return plugins.spelled("synthetic", text, Synthetic, "$.approach.synthetic") if text else None


def counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(num_classes,) how many rows each class lacks of the largest one; absent classes lack none, for they have none."""
    found = np.bincount(labels, minlength=num_classes)
    return np.where(found > 0, found.max(initial=0) - found, 0)


def grown(
    way: Synthetic, vectors: np.ndarray, labels: np.ndarray, num_classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (n, dim) with labels (n,), and after them new ones until every class is as large as the largest.

    A class with fewer rows than ``way.least`` stays as small as it is. The same seed gives the same rows.
    """
    rng = np.random.default_rng([seed, 5])
    more, whose = [vectors], [labels]
    for number, lacking in enumerate(counts(labels, num_classes)):
        own = vectors[labels == number]
        if lacking and len(own) >= way.least:
            more.append(way.rows(own, vectors, int(lacking), rng).astype(vectors.dtype))
            whose.append(np.full(int(lacking), number, labels.dtype))
    return np.concatenate(more), np.concatenate(whose)
