"""Pixels, scaled down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image as Pillow

from headstart.data.dataset import Dataset, Item
from headstart.data.modalities.image import Image

NAME = "pixels"
TITLE = "a linear model on raw pixels"
WHAT = "the pixels, scaled down"
SIDE = 24  # pixels; more changes little and costs memory


def matrices(train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(n, SIDE * SIDE * 3) float32 colours in [0, 1] of each."""
    return pixel_table(train), pixel_table(test)


def pixel_table(dataset: Dataset) -> np.ndarray:
    modality = Image()

    def row(item: Item) -> np.ndarray:
        picture = Pillow.fromarray(np.asarray(modality.decode(item, SIDE * 2)))
        return np.asarray(picture.resize((SIDE, SIDE), Pillow.Resampling.BOX), np.float32).ravel() / 255

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(row, dataset.items)))
