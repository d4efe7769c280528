"""SMOTE: a new row lies between a row of the class and one of its nearest neighbours within the class.

Chawla, Bowyer, Hall and Kegelmeyer 2002, SMOTE, arXiv 1106.1813; on the features of a frozen network, Dablain, Krawczyk
and Chawla 2021, DeepSMOTE, arXiv 2105.02340, do likewise with those of an autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.errors import ConfigError
from headstart.synthetic import Synthetic


@dataclass(frozen=True)
class Smote(Synthetic):
    """``neighbours``: how many of the nearest rows of the class one is drawn from; fewer where the class has fewer."""

    neighbours: int = 5
    least: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ConfigError(f"$.approach.synthetic (smote).neighbours: expected at least 1, got {self.neighbours}")

    def rows(self, own: np.ndarray, every: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        most = min(self.neighbours, len(own) - 1)
        near = NearestNeighbors(n_neighbors=most).fit(own).kneighbors(return_distance=False)  # (m, most), never itself
        start = rng.integers(len(own), size=count)
        end = near[start, rng.integers(most, size=count)]
        share = rng.random((count, 1))
        return np.asarray(own[start] + share * (own[end] - own[start]))
