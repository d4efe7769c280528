"""Front ends of sound models: samples -> spectrogram -> mel bands -> logarithm -> patches.

Plain array functions without state, safe in several threads. Nothing is padded or centred here unless it is
asked for: frame i covers the samples from i * hop on, and an incomplete last frame is left out, as in the
front ends of AudioSet (mel_features.py in tensorflow/models/research/audioset/vggish).
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from headstart.errors import DataError

BLOCK = 8192  # frames computed at a time, so that an hour of sound needs no more memory than a minute


def log_mel(
    samples: np.ndarray,
    rate: int,
    *,
    window: int,
    hop: int,
    fft: int,
    bands: int,
    low: float,
    high: float,
    offset: float,
    power: float,
) -> np.ndarray:
    """log(mel + offset) of a sound, (frames, bands) float32 with frames = 1 + (samples - window) // hop.

    Args:
        samples: (samples,), in [-1, 1].
        rate: samples per second.
        window, hop, fft: lengths in samples of the periodic Hann window, of the step, of the transform.
        bands, low, high: number of mel bands, and the edges of the first and the last in Hz.
        offset: added before the logarithm, in units of the spectrogram.
        power: 1.0 for magnitudes, 2.0 for squared magnitudes.

    Raises:
        DataError: the samples are not one channel of finite numbers.
    """
    mel = mel_matrix(rate, fft, bands, low, high).astype(np.float32)
    return np.log(spectrogram(samples, hann(window), hop, fft, power) @ mel + np.float32(offset))


def spectrogram(samples: np.ndarray, window: np.ndarray, hop: int, fft: int, power: float = 1.0) -> np.ndarray:
    """|DFT| ** power of every whole frame, (frames, fft // 2 + 1) float32.

    Raises:
        DataError: the samples are not one channel of finite numbers.
    """
    samples = mono(samples)
    if len(samples) < len(window):
        return np.zeros((0, fft // 2 + 1), np.float32)
    frames = sliding_window_view(samples, len(window))[::hop]
    result = np.empty((len(frames), fft // 2 + 1), np.float32)
    window = window.astype(np.float32)
    for start in range(0, len(frames), BLOCK):
        magnitude = np.abs(scipy.fft.rfft(frames[start : start + BLOCK] * window, fft))
        result[start : start + BLOCK] = magnitude if power == 1 else magnitude**power
    return result


@functools.cache
def mel_matrix(rate: int, fft: int, bands: int, low: float, high: float) -> np.ndarray:
    """Weights from the bins of a transform to mel bands, (fft // 2 + 1, bands) float64; do not write into it.

    Triangles whose sides are straight in mel = 1127 ln(1 + Hz / 700) (the HTK scale), with peaks of 1, evenly
    spaced. The constant bin, whose mel is 0, takes no part, as in HTK.
    """
    edges = np.linspace(mel(low), mel(high), bands + 2)  # (bands + 2,): left side, peak and right side overlap
    bins = mel(np.arange(fft // 2 + 1) * rate / fft)[:, None]  # (bins, 1)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    weights.flags.writeable = False
    return weights


def mel(hertz: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


@functools.cache
def hann(length: int) -> np.ndarray:
    """The periodic Hann window, whose next sample would be the first again; do not write into it."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    window.flags.writeable = False
    return window


def patches(frames: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Whole patches of ``length`` frames every ``hop`` frames: (frames, bands) -> (patches, length, bands).

    A read-only view; frames at the end that fill no patch are left out.
    """
    if len(frames) < length:
        return np.zeros((0, length, frames.shape[1]), frames.dtype)
    return sliding_window_view(frames, length, axis=0)[::hop].swapaxes(1, 2)


def padded(samples: np.ndarray, length: int) -> np.ndarray:
    """The samples with silence behind them, at least ``length`` samples."""
    return np.pad(samples, (0, max(0, length - len(samples))))


def mono(samples: np.ndarray) -> np.ndarray:
    """The samples as float32.

    Raises:
        DataError: there is no sample, more than one channel, or a value that is not finite.
    """
    if samples.ndim != 1 or not len(samples):
        raise DataError(f"A sound has the shape {samples.shape}; expected at least one sample of one channel.")
    if samples.dtype.kind != "f":
        raise DataError(f"A sound has values of type {samples.dtype}; expected floating point in [-1, 1].")
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise DataError("A sound has samples that are not finite numbers. Repair or remove the file.")
    return samples
