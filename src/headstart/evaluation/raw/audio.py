"""How loud each band of frequencies is, on average, and how much that varies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headstart.data.dataset import Dataset, Item, Sound
from headstart.data.modalities.audio import Audio, resample
from headstart.models.frontends import log_mel, padded

NAME = "spectrum"
TITLE = "a linear model on mean log-mel spectra"
WHAT = "the mean and the deviation of 64 log-mel bands over time"
RATE = 16_000  # Hz


def matrices(train: Dataset, test: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(n, 128) float32: mean and standard deviation over time of 64 log-mel bands, 125 to 7500 Hz."""
    return spectrum_table(train), spectrum_table(test)


def spectrum_table(dataset: Dataset) -> np.ndarray:
    modality = Audio()

    def row(item: Item) -> np.ndarray:
        sound = modality.decode(item)
        assert isinstance(sound, Sound)
        samples = padded(resample(sound, RATE).samples, 400)
        frames = log_mel(
            samples, RATE, window=400, hop=160, fft=512, bands=64, low=125.0, high=7500.0, offset=0.001, power=1.0
        )
        return np.concatenate([frames.mean(0), frames.std(0)])

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(row, dataset.items))).astype(np.float32)
