from typing import Any

import numpy as np
import pytest
import torch

from headstart.data.dataset import Sound
from headstart.errors import ModelError
from headstart.models.card import ModelCard
from headstart.models.sounds import LogMelPatches, SoundBackbone, WaveformFrontEnd, WhisperFrontEnd
from headstart.models.zoo.families import YAMNET
from tiny_models import CELLS, embedded_sound


class Scale(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(1))


def run(network: Any, windows: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One vector a sample: the sample itself."""
    return windows.unsqueeze(2) * network.factor, torch.arange(windows.shape[1]) < real.unsqueeze(1)


def waves(**front: Any) -> SoundBackbone:
    card = ModelCard("x/y", "audio", sample_rate=1000)
    front_end = WaveformFrontEnd(**{"standardised": False, "rate": 1000, **front})
    return SoundBackbone(Scale(), card, front_end, run, "tiny", dim=1)


def test_the_vector_is_the_mean_over_all_real_samples() -> None:
    rng = np.random.default_rng(0)
    sounds = [Sound(rng.normal(size=n).astype(np.float32), 1000) for n in (150, 40_000, 15_000, 2_001)]
    backbone = waves()
    with torch.inference_mode():
        found = backbone(backbone.prepare(sounds)).vector[:, 0].numpy()
    assert np.allclose(found, [sound.samples.mean() for sound in sounds], atol=1e-5)


def test_long_recordings_are_cut_into_windows_and_nothing_is_left_out() -> None:
    samples = np.arange(40_000, dtype=np.float32)
    values, real = WaveformFrontEnd(False, 1000)(samples)
    assert values.shape == (3, 13_334) and real.tolist() == [13_334, 13_333, 13_333]
    assert np.array_equal(np.concatenate([row[:n] for row, n in zip(values, real, strict=True)]), samples)
    values, real = WaveformFrontEnd(True, 1000)(samples)
    assert abs(values[0].mean()) > 0.5, "a sound is standardised as a whole"
    assert abs(np.concatenate([row[:n] for row, n in zip(values, real, strict=True)]).std() - 1) < 1e-3


def test_a_sound_of_one_sample() -> None:
    values, real = WaveformFrontEnd(True, 16_000)(np.zeros(1, np.float32))
    assert values.shape == (1, 1600) and real.tolist() == [1600] and np.isfinite(values).all()


@pytest.mark.parametrize("name", [cell.name for cell in CELLS.values() if cell.modality == "audio"])
def test_the_shortest_sounds_have_finite_features(name: str, tmp_path: Any) -> None:
    backbone = CELLS[name].backbone(tmp_path)
    sounds = [Sound(np.zeros(1, np.float32), 16_000), Sound(np.full(9, 0.5, np.float32), 48_000),
              Sound(np.full(1, 0.5, np.float32), 48_000)]  # fmt: skip
    with torch.inference_mode():
        assert torch.isfinite(backbone(backbone.prepare(sounds)).vector).all()


def test_whisper_takes_whole_windows_and_knows_what_is_real() -> None:
    front = WhisperFrontEnd(bands=8, length=100)
    values, real = front(np.random.default_rng(0).normal(size=20_000).astype(np.float32))
    assert values.shape == (2, 100, 8) and real.tolist() == [100, 25]


def test_the_words_of_a_card_state_the_front_end() -> None:
    front = LogMelPatches.parse(YAMNET, 16_000, "yamnet")
    assert front == LogMelPatches(16_000, 0.025, 0.01, 512, 64, 125.0, 7500.0, 0.001, 96, 48)
    values, real = front(np.zeros(16_000, np.float32))
    assert values.shape == (2, 1, 96, 64) and real.tolist() == [1, 1]
    assert front(np.zeros(0, np.float32))[0].shape == (1, 1, 96, 64)
    assert np.allclose(values, np.log(0.001), atol=1e-5)


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ("25 ms periodic Hann window", "25 ms Hamming window", "window"),
        ("magnitude", "power", "fft"),
        ("64 mel bands 125-7500 Hz", "64 mel bands", "low, high"),
        ("log(mel + 0.001)", "log10(mel)", "offset"),
        (" with hop 48", "", "step"),
    ],
)
def test_words_that_do_not_parse_are_named(before: str, after: str, missing: str) -> None:
    assert before in YAMNET
    with pytest.raises(ModelError, match=f"does not state {missing} in the known words"):
        LogMelPatches.parse(YAMNET.replace(before, after), 16_000, "mine")


def test_a_card_without_a_sample_rate_is_refused() -> None:
    with pytest.raises(ModelError, match=r"does not state the sample rate.*sample_rate"):
        SoundBackbone(Scale(), ModelCard("x/y", "audio"), WaveformFrontEnd(False), run, "mine", dim=1)


def test_a_standardised_patch_has_mean_0_and_variance_1() -> None:
    front = LogMelPatches.parse(f"{YAMNET}, each standardised", 16_000, "x")
    values, _ = front(np.random.default_rng(0).normal(size=20_000).astype(np.float32))
    assert np.allclose(values.mean((1, 2, 3)), 0, atol=1e-4) and np.allclose(values.std((1, 2, 3)), 1, atol=1e-3)


def test_the_fast_copy_of_a_picture_network_computes(tmp_path: Any) -> None:
    backbone = embedded_sound(tmp_path).eval()
    sounds = [Sound(np.random.default_rng(n).normal(size=n).astype(np.float32) / 5, 16_000) for n in (9_000, 30_000)]
    with torch.inference_mode():
        plain, quick = (b(b.prepare(sounds)).vector for b in (backbone, backbone.fast()))
    assert torch.nn.functional.cosine_similarity(plain, quick).min() > 0.99
