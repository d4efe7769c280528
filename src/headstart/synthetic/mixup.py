"""Feature mixup for small classes: a row of the class is blended with a row of any class, and keeps its own label.

Mixup: Zhang et al. 2018, arXiv 1710.09412; of hidden features Verma et al. 2019, Manifold Mixup, arXiv 1806.05236; that the
label is that of the small class: Chou et al. 2020, Remix, arXiv 2007.03943. Here the row of the class always has the
larger share, since a head is fitted to whole labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.errors import ConfigError
from headstart.synthetic import Synthetic


@dataclass(frozen=True)
class Mixup(Synthetic):
    """``alpha``: the share is drawn from Beta(alpha, alpha), and the larger part of it goes to the row of the class."""

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise ConfigError(f"$.approach.synthetic (mixup).alpha: expected more than 0, such as 0.2, got {self.alpha:g}")

    def rows(self, own: np.ndarray, every: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        share = rng.beta(self.alpha, self.alpha, size=(count, 1))
        share = np.maximum(share, 1 - share)
        start, other = rng.integers(len(own), size=count), rng.integers(len(every), size=count)
        return np.asarray(share * own[start] + (1 - share) * every[other])
