"""DeepSpeech against explicit loops, published parameter counts, TensorFlow's cepstra and both key layouts."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.errors import ConfigError, ModelError
from headstart.models.families import deepspeech

TINY = {"num_inputs": 3, "context": 2, "hidden": 5, "classes": 4}


def tiny(**changes: object) -> deepspeech.DeepSpeech:
    torch.manual_seed(0)
    return deepspeech.DeepSpeech(**(TINY | changes)).eval()


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_published_sizes() -> None:
    with torch.device("meta"):
        mozilla = deepspeech.DeepSpeech()
        paper = deepspeech.DeepSpeech(recurrence="birnn", num_inputs=26, classes=40)
    # Counted from the graph in train.py; torch's LSTM has a second bias for each of the 4 gates.
    assert count(mozilla) - 4 * 2048 == 47_224_861
    dense = 26 * 19 * 2048 + 2048 + 3 * (2048 * 2048 + 2048) + 2048 * 40 + 40
    assert count(paper) == dense + 2 * (2 * 2048 * 2048 + 2 * 2048)  # torchaudio.models.DeepSpeech(494)
    with pytest.raises(ConfigError, match="'gru'"):
        deepspeech.DeepSpeech(recurrence="gru")


def test_windows_equal_a_loop() -> None:
    frames = torch.randn(2, 7, 3)
    found = deepspeech.windows(frames, 2)
    assert found.shape == (2, 7, 15)
    for t in range(7):
        for k in range(5):
            source = t + k - 2
            expected = frames[:, source] if 0 <= source < 7 else torch.zeros(2, 3)
            torch.testing.assert_close(found[:, t, 3 * k : 3 * k + 3], expected)


def test_rectifiers_are_clipped() -> None:
    network = tiny(clip=0.05)
    with torch.no_grad():
        hidden = network(torch.randn(2, 6, 3) * 50)
    assert hidden.min() == 0
    assert hidden.max() == torch.tensor(0.05)
    assert network.logits(hidden).shape == (2, 6, 4)
    assert deepspeech.DeepSpeech(**TINY).clip == 20


@pytest.mark.parametrize("recurrence", ["lstm", "birnn"])
def test_padding_changes_nothing(recurrence: str) -> None:
    network = tiny(recurrence=recurrence)
    frames = torch.randn(2, 9, 3)
    mask = torch.arange(9) < torch.tensor([9, 5])[:, None]
    with torch.no_grad():
        both = network(frames, mask)
        alone = network(frames[1:, :5])
        torch.testing.assert_close(both[1, :5], alone[0])
        torch.testing.assert_close(both[0], network(frames[:1])[0])


def explicit(state: dict[str, np.ndarray], frames: np.ndarray) -> np.ndarray:
    """Mozilla's graph in numpy, from TensorFlow's names: (length, inputs) -> logits."""

    def rectified(x: np.ndarray, layer: int) -> np.ndarray:
        return np.minimum(np.maximum(x @ state[f"layer_{layer}/weights"] + state[f"layer_{layer}/bias"], 0), 20)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    padded = np.pad(frames, ((2, 2), (0, 0)))
    x = np.array([padded[t : t + 5].reshape(-1) for t in range(len(frames))])
    for layer in (1, 2, 3):
        x = rectified(x, layer)
    kernel, bias = state[f"{deepspeech.LSTM}/kernel"], state[f"{deepspeech.LSTM}/bias"]
    cell = out = np.zeros(5)
    outs = []
    for step in x:  # gates: input, candidate, forget (no added bias), output
        i, c, f, o = np.split(np.concatenate([step, out]) @ kernel + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        out = sigmoid(o) * np.tanh(cell)
        outs.append(out)
    return rectified(np.array(outs), 5) @ state["layer_6/weights"] + state["layer_6/bias"]


def test_mozilla_layout_gives_mozilla_function() -> None:
    random = np.random.default_rng(0)
    shapes = {1: (15, 5), 2: (5, 5), 3: (5, 5), 5: (5, 5), 6: (5, 4)}
    state = {f"layer_{i}/weights": random.normal(size=shape) for i, shape in shapes.items()}
    state |= {f"layer_{i}/bias": random.normal(size=shape[1]) for i, shape in shapes.items()}
    state |= {
        f"{deepspeech.LSTM}/kernel": random.normal(size=(10, 20)),
        f"{deepspeech.LSTM}/bias": random.normal(size=20),
    }
    frames = random.normal(size=(6, 3))
    network = tiny().double()
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    network.load_state_dict(deepspeech.published(tensors | {"layer_1/bias/Adam": torch.zeros(1)}))
    with torch.no_grad():
        found = network.logits(network(torch.from_numpy(frames)[None]))[0].numpy()
    np.testing.assert_allclose(found, explicit(state, frames), atol=1e-10)
    del tensors["layer_5/bias"]
    with pytest.raises(ModelError, match="Missing: layer_5/bias"):
        deepspeech.published(tensors)


def test_torchaudio_layout() -> None:
    network = tiny(recurrence="birnn")
    theirs = {
        "first": "fc1.fc",
        "second": "fc2.fc",
        "third": "fc3.fc",
        "fifth": "fc4.fc",
        "output": "out",
        "recurrent": "bi_rnn",
    }
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        stem, _, kind = name.partition(".")
        state[f"{theirs[stem]}.{kind}"] = value
    found = deepspeech.published(state)
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())


def cepstra(frame: np.ndarray) -> np.ndarray:
    """TensorFlow's spectrogram, mfcc_mel_filterbank.cc and mfcc_dct.cc for one frame of 512 samples, bin by bin."""
    windowed = [frame[n] * (0.5 - 0.5 * math.cos(2 * math.pi * n / 512)) for n in range(512)]
    n = np.arange(512)
    magnitude = [abs(np.sum(np.array(windowed) * np.exp(-2j * np.pi * k * n / 512))) for k in range(257)]
    low, high = (1127 * math.log1p(hertz / 700) for hertz in (20, 8000))
    centres = [low + (high - low) / 41 * (i + 1) for i in range(41)]
    bands = [0.0] * 40
    for k in range(int(1.5 + 20 / 31.25), 257):
        position = 1127 * math.log1p(k * 31.25 / 700)
        channel = sum(centre < position for centre in centres[:40]) - 1
        left = centres[channel] if channel >= 0 else low
        weight = (centres[channel + 1] - position) / (centres[channel + 1] - left)
        if channel >= 0:
            bands[channel] += weight * magnitude[k]
        if channel < 39:
            bands[channel + 1] += (1 - weight) * magnitude[k]
    logs = [math.log(max(band, 1e-12)) for band in bands]
    return np.array([
        math.sqrt(2 / 40) * sum(logs[j] * math.cos(math.pi / 40 * i * (j + 0.5)) for j in range(40)) for i in range(26)
    ])  # fmt: skip


def test_front_end_equals_tensorflow_equations() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 512 + 3 * 320 + 10).astype(np.float32)
    found = deepspeech.front_end(samples)
    assert found.shape == (4, 26)
    assert found.dtype == np.float32
    for frame in (0, 3):
        np.testing.assert_allclose(
            found[frame], cepstra(samples[320 * frame : 320 * frame + 512].astype(float)), atol=1e-3
        )
    assert deepspeech.front_end(samples[:100]).shape == (1, 26)
    assert np.isfinite(deepspeech.front_end(np.zeros(2000, np.float32))).all()
