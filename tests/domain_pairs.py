"""Small pairs of domains for tests of ``headstart.shift``."""

from __future__ import annotations

import numpy as np


def two(num_source: int = 50, num_target: int = 40, dim: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dim, dim))
    return rng.normal(size=(num_source, dim)), rng.normal(size=(num_target, dim)) @ mix + 0.5


def labelled(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ys, yt = np.arange(60) % 3, np.arange(45) % 3
    centres = 4 * rng.normal(size=(3, 5))
    return centres[ys] + rng.normal(size=(60, 5)), centres[yt] + 1 + rng.normal(size=(45, 5)), ys, yt
