"""A closer look at two samples: are they one, cropped, mirrored, moved in time or reworded? Between 0 and 1."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset, Sound
from headstart.data.modalities import Modality
from headstart.data.modalities.audio import log_mel

SIDE = 48  # pixels of the longer side of the thumbnails that are laid over each other
SCALES = np.linspace(1.0, 0.55, 16)  # of the largest at which one picture fits into the other
STRETCHES = (1.0, 0.85, 1.18)  # of the width: what was cropped and brought back to the old size has other proportions
LEAST = 0.25  # share of the area of the larger picture that the other must cover
BLUR = 2.0  # pixels: what is coarser than this (the background, the light) does not count
ROUGH = 0.5  # likeness at half the size below which a look at the full one is not worth its time
HOP, BANDS = 0.02, 32  # seconds and mel bands of the spectrograms that are moved along each other
OVERLAP = 0.5  # share of the shorter recording that must lie over the other
ALIKE = {"image": 0.75, "audio": 0.75, "text": 0.6}  # from here on two samples are one
# Of 40 garments cropped by 5 to 20 % on every side and brought back to their size, half of them mirrored, 32 reach 0.75; of 250
# pairs of neighbours among other garments none does. Sounds and texts: benchmarks/audit.py.


class Closer:
    """Compares pairs of one data set; what it decodes for one pair it keeps for the next ones."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
        self.prepared = lru_cache(maxsize=4096)(self._prepared)

    def likeness(self, one: int, other: int) -> float:
        """1: the same; from ``ALIKE`` of the modality on they count as copies."""
        kind = self.dataset.modality
        if kind == "image":
            return pictures(self.prepared(one), self.prepared(other))
        if kind == "audio":
            return sounds(self.prepared(one), self.prepared(other))
        return texts(self.prepared(one), self.prepared(other)) if kind == "text" else 0.0

    def _prepared(self, index: int) -> Any:
        value = self.modality.decode(self.dataset.items[index], 2 * SIDE, self.dataset.names[index])
        if self.dataset.modality == "image":
            return thumbnail(np.asarray(value))
        return spectrogram(value) if isinstance(value, Sound) else words(str(value))


def thumbnail(value: np.ndarray) -> np.ndarray:
    """Grey uint8 of at most SIDE x SIDE from a picture (height, width, 3)."""
    import PIL.Image

    picture = PIL.Image.fromarray(np.ascontiguousarray(value)).convert("L")
    scale = SIDE / max(picture.size)
    size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
    return np.asarray(picture.resize(size, PIL.Image.Resampling.BOX))


def pictures(one: np.ndarray, other: np.ndarray) -> float:
    """The largest correlation of the details where one thumbnail, scaled, stretched and perhaps mirrored, lies in the other."""
    rough = _best(_half(one), _half(other), SCALES[::2], (1.0,), BLUR / 2)
    return rough if rough < ROUGH else _best(one, other, SCALES, STRETCHES, BLUR)


def _half(thumb: np.ndarray) -> np.ndarray:
    import PIL.Image

    picture = PIL.Image.fromarray(thumb)
    size = (max(6, picture.width // 2), max(6, picture.height // 2))
    return np.asarray(picture.resize(size, PIL.Image.Resampling.BOX))


def _best(one: np.ndarray, other: np.ndarray, scales: np.ndarray, stretches: Sequence[float], blur: float) -> float:
    return max(_inside(whole, part, scales, stretches, blur) for whole, part in ((one, other), (other, one)))


def _inside(
    whole: np.ndarray, part: np.ndarray, scales: np.ndarray, stretches: Sequence[float], blur: float
) -> float:
    """Normalised cross-correlation of ``part``, as it is and mirrored, with the windows of ``whole``: its maximum."""
    import PIL.Image
    from scipy.fft import irfft2, next_fast_len, rfft2

    detail = _detail(whole, blur)
    height, width = detail.shape
    shape = tuple(next_fast_len(n, real=True) for n in (height, width))
    spectrum = rfft2(detail, shape)
    sums, squares = _integral(detail), _integral(detail**2)
    picture, best = PIL.Image.fromarray(np.ascontiguousarray(part)), 0.0
    for stretch, scale in itertools.product(stretches, scales):
        tall, wide = part.shape[0], part.shape[1] * stretch
        fitting = scale * min(height / tall, width / wide)
        h, w = min(height, round(tall * fitting)), min(width, round(wide * fitting))
        if h * w < LEAST * height * width or min(h, w) < 6:
            continue
        small = _detail(np.asarray(picture.resize((w, h), PIL.Image.Resampling.BOX)), blur)
        small = small - small.mean()
        length = float(np.sqrt((small**2).sum()))
        if length < 1.0 * np.sqrt(small.size):  # flat: it lies everywhere
            continue
        mean = _windows(sums, h, w) / (h * w)
        energy = np.sqrt(np.maximum(_windows(squares, h, w) - h * w * mean**2, 1.0))
        for seen in (small, small[:, ::-1]):
            # a window that would wrap around is not among those that are kept
            products = irfft2(spectrum * np.conj(rfft2(seen, shape)), shape)[: height - h + 1, : width - w + 1]
            best = max(best, float((products / (length * energy)).max()))
    return min(best, 1.0)


def _detail(grey: np.ndarray, blur: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    values = grey.astype(np.float32)
    return np.asarray(values - gaussian_filter(values, blur, mode="nearest"))


def _integral(values: np.ndarray) -> np.ndarray:
    return np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _windows(integral: np.ndarray, h: int, w: int) -> np.ndarray:
    """Sums over all windows of h x w."""
    return integral[h:, w:] - integral[:-h, w:] - integral[h:, :-w] + integral[:-h, :-w]


def spectrogram(sound: Sound) -> np.ndarray:
    """(bands, steps): the detail of the log-mel spectrogram, each band less its mean; silence counts as nothing."""
    from scipy.ndimage import gaussian_filter

    levels = log_mel(sound, HOP, BANDS)
    return np.asarray(levels - gaussian_filter(levels, (2.0, 4.0), mode="nearest"))


def sounds(one: np.ndarray, other: np.ndarray) -> float:
    """The largest correlation of two spectrograms over all shifts that leave half of the shorter one overlapping."""
    from scipy.fft import irfft, next_fast_len, rfft

    a, b = one.shape[1], other.shape[1]
    size = next_fast_len(a + b - 1, real=True)
    products = irfft((rfft(one, size) * np.conj(rfft(other, size))).sum(0), size)  # lag k: one[t + k] * other[t]
    lags = np.arange(-(b - 1), a)
    products = products[lags % size]
    first, last = np.maximum(lags, 0), np.minimum(a, b + lags)  # the overlap in time of ``one``
    energy_one, energy_other = (np.append(0, (x**2).sum(0).cumsum()) for x in (one, other))
    power = (energy_one[last] - energy_one[first]) * (energy_other[last - lags] - energy_other[first - lags])
    enough = (last - first >= OVERLAP * min(a, b)) & (power > 0.05 * energy_one[-1] * energy_other[-1])
    return float(np.clip((products[enough] / np.sqrt(power[enough])).max(initial=0.0), 0, 1))


def words(text: str) -> tuple[str, ...]:
    """Words in order, without case and punctuation."""
    return tuple(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def texts(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """The Jaccard similarity of the words and pairs of words of two texts."""
    a, b = parts(one), parts(other)
    return len(a & b) / max(1, len(a | b))


def parts(line: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {(word,) for word in line} | set(itertools.pairwise(line))
