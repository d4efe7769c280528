"""Log-mel front ends against an explicit Fourier matrix and transformers' filter bank."""

import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank

from headstart.errors import DataError
from headstart.models import frontends

AUDIOSET = {"window": 400, "hop": 160, "fft": 512, "bands": 64, "low": 125, "high": 7500}


def sound(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def explicit(samples: np.ndarray, offset: float, power: float) -> np.ndarray:
    """The AudioSet front end written down frame by frame, in float64."""
    k, n = np.arange(257)[:, None], np.arange(400)[None]
    cosine, sine = np.cos(2 * np.pi * k * n / 512), np.sin(2 * np.pi * k * n / 512)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    bank = mel_filter_bank(257, 64, 125, 7500, 16000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True)
    rows = []
    for start in range(0, len(samples) - 399, 160):
        frame = samples[start : start + 400].astype(np.float64) * hann
        magnitude = np.sqrt((cosine @ frame) ** 2 + (sine @ frame) ** 2)
        rows.append(np.log(magnitude**power @ bank + offset))
    return np.array(rows)


@pytest.mark.parametrize(("offset", "power"), [(0.001, 1.0), (0.01, 1.0), (0.01, 2.0)])
def test_log_mel_equals_the_explicit_transform(offset: float, power: float) -> None:
    samples = sound(3000)
    found = frontends.log_mel(samples, 16000, **AUDIOSET, offset=offset, power=power)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, explicit(samples, offset, power), atol=1e-4)


def test_number_of_frames() -> None:
    for samples, frames in ((1, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)):
        assert frontends.log_mel(sound(samples), 16000, **AUDIOSET, offset=0.01, power=1).shape == (frames, 64)


def test_long_sounds_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sound(5000)
    whole = frontends.spectrogram(samples, frontends.hann(400), 160, 512)
    monkeypatch.setattr(frontends, "BLOCK", 7)
    np.testing.assert_array_equal(frontends.spectrogram(samples, frontends.hann(400), 160, 512), whole)


def test_patches_are_whole_and_in_order() -> None:
    frames = np.arange(22, dtype=np.float32).reshape(11, 2)
    found = frontends.patches(frames, 4, 3)
    assert found.shape == (3, 4, 2)
    for i in range(3):
        np.testing.assert_array_equal(found[i], frames[3 * i : 3 * i + 4])
    assert frontends.patches(frames[:3], 4, 3).shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(0, np.float32), "at least one sample"),
        (np.zeros((2, 500), np.float32), "one channel"),
        (np.zeros(500, np.int16), "int16"),
        (np.full(500, np.nan, np.float32), "not finite"),
    ],
)
def test_what_is_no_sound_is_refused(samples: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        frontends.log_mel(samples, 16000, **AUDIOSET, offset=0.01, power=1)
