"""SpecAugment: bands of pitch and stretches of time are silenced.

Park et al. 2019, SpecAugment, arXiv 1904.08779, without its time warp, which the authors found to matter least. The
paper masks the spectrogram that a network takes, and this package's networks each make another one; so the masks are cut
into the recording itself: a band-stop filter (whole-length Fourier transform) and silence. Their width is a share, not a
number of frames, and what they leave is zero power, not the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Sound, Value

MASKS = 2  # of each kind, as in the paper's policy LD
LOWEST = 60.0  # Hz


@dataclass(frozen=True)
class SpecAugment(Augmentation):
    """Two bands of pitch, each up to a share ``bands`` of the mel scale, and two stretches, each up to ``time``, silenced."""

    bands: float = 0.15
    time: float = 0.1
    order: ClassVar[int] = 40
    paper: ClassVar[str] = "Park et al. 2019, arXiv 1904.08779"

    def __post_init__(self) -> None:
        within(self, bands=(0, 0.5), time=(0, 0.4))

    def apply(self, value: Value, rng: np.random.Generator) -> Sound:
        assert isinstance(value, Sound)
        top = mel(value.rate / 2)
        spectrum = np.fft.rfft(value.samples)
        pitch = mel(np.fft.rfftfreq(len(value.samples), 1 / value.rate))
        for _ in range(MASKS):
            width = rng.uniform(0, self.bands) * (top - mel(LOWEST))
            low = rng.uniform(mel(LOWEST), top - width)
            spectrum[(pitch >= low) & (pitch < low + width)] = 0
        samples = np.fft.irfft(spectrum, len(value.samples)).astype(np.float32)
        for _ in range(MASKS):
            size = round(rng.uniform(0, self.time) * len(samples))
            start = int(rng.integers(len(samples) - size + 1))
            samples[start : start + size] = 0
        return Sound(samples, value.rate)


def mel(hertz: float | np.ndarray) -> np.ndarray:
    """2595 log10(1 + f / 700), O'Shaughnessy 1987."""
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))
