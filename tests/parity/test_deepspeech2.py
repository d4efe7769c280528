"""Deep Speech 2 against published shapes, an independent front end, padding and the reference's key layout."""

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import ConfigError, ModelError
from headstart.models.families import deepspeech2

TINY = {"bins": 21, "hidden": 4, "num_layers": 2, "classes": 3}


def tiny(**changes: object) -> deepspeech2.DeepSpeech2:
    torch.manual_seed(0)
    network = deepspeech2.DeepSpeech2(**(TINY | changes))
    for module in network.modules():  # statistics that padding's zeros do not pass unchanged
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.bias)
    return network.eval()


def test_published_size() -> None:
    with torch.device("meta"):
        network = deepspeech2.DeepSpeech2()
    # Two convolutions with norms; five bidirectional LSTMs of 1,024 (the first on 32 * 41 inputs), four norms; output.
    convolutions = (32 * 41 * 11 + 32) + (32 * 32 * 21 * 11 + 32) + 2 * 64
    recurrent = 2 * 4 * (1024 * (1312 + 1024) + 2048) + 4 * (2 * 4 * (1024 * 2048 + 2048) + 2048)
    assert sum(p.numel() for p in network.parameters()) == convolutions + recurrent + 2048 + 29 * 1024 == 86_618_400
    assert network.layers[0].recurrent.input_size == 1312
    with pytest.raises(ConfigError, match="'rnn'"):
        deepspeech2.DeepSpeech2(recurrence="rnn")


@pytest.mark.parametrize("recurrence", ["lstm", "gru"])
def test_padding_changes_nothing(recurrence: str) -> None:
    network = tiny(recurrence=recurrence)
    spectrograms = torch.randn(3, 31, 21)
    lengths = torch.tensor([31, 12, 1])
    with torch.no_grad():
        hidden, mask = network(spectrograms, lengths)
        assert hidden.shape == (3, 16, 4)
        assert mask.sum(1).tolist() == [16, 6, 1]  # what a convolution of stride 2 makes of 31, 12 and 1 frames
        assert (hidden[~mask] == 0).all()
        for sound, length in enumerate(lengths.tolist()):
            alone, _ = network(spectrograms[sound : sound + 1, :length])
            torch.testing.assert_close(hidden[sound, : (length + 1) // 2], alone[0])
    assert network.logits(hidden).shape == (3, 16, 3)


def test_equals_the_layers_written_out() -> None:
    network, spectrogram = tiny(), torch.randn(1, 15, 21)
    first, norm1, second, norm2 = network.convolutions
    with torch.no_grad():
        maps = norm1(first(spectrogram.transpose(1, 2)[:, None])).clamp(0, 20)
        maps = norm2(second(maps)).clamp(0, 20)
        assert maps.shape == (1, 32, 6, 8)
        steps = torch.stack([maps[0, :, :, t].reshape(-1) for t in range(8)])[None]  # channels slowest
        for number, layer in enumerate(network.layers):
            if number:
                mean, var = layer.norm.running_mean, layer.norm.running_var
                steps = (steps - mean) / (var + 1e-5).sqrt() * layer.norm.weight + layer.norm.bias
            both = layer.recurrent(steps)[0]
            steps = both[..., :4] + both[..., 4:]
        torch.testing.assert_close(network(spectrogram)[0], steps)


def test_front_end_equals_a_centred_transform() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    found = deepspeech2.front_end(samples)
    window = torch.hamming_window(320)
    transform = torch.stft(
        torch.from_numpy(samples), 320, 160, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    expected = transform.abs().log1p()
    expected = ((expected - expected.mean()) / expected.std()).T
    assert found.shape == (1 + 5000 // 160, 161)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    for edge in (np.zeros(4000, np.float32), samples[:1], samples[:50]):
        assert np.isfinite(deepspeech2.front_end(edge)).all()


def test_published_layout() -> None:
    network, other = tiny(), deepspeech2.DeepSpeech2(**TINY).eval()
    places = {"convolutions.0": "conv.seq_module.0", "convolutions.1": "conv.seq_module.1", "norm": "fc.0.module.0",
              "convolutions.2": "conv.seq_module.3", "convolutions.3": "conv.seq_module.4", "output": "fc.0.module.1",
              "layers.0.recurrent": "rnns.0.rnn", "layers.1.recurrent": "rnns.1.rnn",
              "layers.1.norm": "rnns.1.batch_norm.module"}  # fmt: skip
    state = {}
    for name, value in network.state_dict().items():
        stem, _, kind = name.rpartition(".")
        state[f"{places[stem]}.{kind}"] = value
    other.load_state_dict(deepspeech2.published(state))
    spectrogram = torch.randn(1, 9, 21)
    with torch.no_grad():
        torch.testing.assert_close(other.logits(other(spectrogram)[0]), network.logits(network(spectrogram)[0]))
    del state["rnns.1.batch_norm.module.running_var"]
    with pytest.raises(ModelError, match=r"Missing: rnns\.1\.batch_norm\.module\.running_var"):
        deepspeech2.published(state)
