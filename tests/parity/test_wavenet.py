"""WaveNet against explicit loops, its receptive field, causality and the reference's key layout."""

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.errors import ModelError
from headstart.models.families import wavenet

TINY = {
    "num_layers": 3, "num_blocks": 2, "residual_channels": 3, "dilation_channels": 4, "skip_channels": 5,
    "end_channels": 6, "classes": 8,
}  # fmt: skip


def tiny(**changes: object) -> wavenet.WaveNet:
    torch.manual_seed(0)
    return wavenet.WaveNet(**(TINY | changes)).double().eval()


def codes(batch: int, time: int, classes: int = 8) -> Tensor:
    return torch.randint(classes, (batch, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("kernel", "field"), [(2, 15), (3, 29)])
def test_receptive_field_and_causality(kernel: int, field: int) -> None:
    network, time, where = tiny(kernel=kernel), 80, 30
    assert network.receptive_field == field
    before = codes(1, time)
    after = before.clone()
    after[0, where] = (after[0, where] + 3) % 8
    with torch.no_grad():
        changed = (network(before) != network(after)).any(1)[0].nonzero().flatten()
    assert changed.min() == where
    assert changed.max() == where + field - 1


def test_published_receptive_field_and_size() -> None:
    with torch.device("meta"):
        network = wavenet.WaveNet()
    assert network.receptive_field == 4 * 1023 + 1  # WaveNetModel(layers=10, blocks=4)
    layer = 2 * 2 * 32 * 32 + 32 * 32 + 32 * 256
    expected = 256 * 32 + 40 * layer + (256 * 256 + 256) + (256 * 256 + 256)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize(("bias", "one_hot"), [(False, True), (True, True), (True, False)])
def test_equals_explicit_loops(bias: bool, one_hot: bool) -> None:
    network, given = tiny(bias=bias, one_hot=one_hot), codes(1, 20)
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}

    def convolve(x: np.ndarray, name: str, dilation: int = 1) -> np.ndarray:
        """out[t] = bias + sum over k of weight[:, :, k] @ x[t - (kernel - 1 - k) * dilation], zeros before the start."""
        weight = state[f"{name}.weight"]
        out = np.zeros((weight.shape[0], x.shape[1]))
        for t in range(x.shape[1]):
            for k in range(weight.shape[2]):
                source = t - (weight.shape[2] - 1 - k) * dilation
                if source >= 0:
                    out[:, t] += weight[:, :, k] @ x[:, source]
            out[:, t] += state.get(f"{name}.bias", 0.0)
        return out

    x = np.eye(8)[given[0].numpy()].T if one_hot else 2 * given.numpy() / 8 - 1
    x, skip = convolve(x, "start"), 0
    for layer in range(6):
        dilation = 2 ** (layer % 3)
        gate = 1 / (1 + np.exp(-convolve(x, f"layers.{layer}.gate", dilation)))
        gated = np.tanh(convolve(x, f"layers.{layer}.filter", dilation)) * gate
        skip = skip + convolve(gated, f"layers.{layer}.skip")
        x = x + convolve(gated, f"layers.{layer}.residual")
    with torch.no_grad():
        maps = network(given)
        logits = network.logits(maps)[0].numpy()
    np.testing.assert_allclose(maps[0].numpy(), skip, atol=1e-10)
    expected = convolve(np.maximum(0, convolve(np.maximum(0, skip), "end.1")), "end.3")
    np.testing.assert_allclose(logits, expected, atol=1e-10)


def test_frames_are_the_means_of_the_maps() -> None:
    network, given = tiny(bias=True), codes(3, 23)
    lengths = torch.tensor([23, 12, 10])
    with torch.no_grad():
        maps, (frames, mask) = network(given), network.frames(given, 5, lengths)
        shorter, _ = network.frames(given[1:2, :12], 5)
    assert frames.shape == (3, 5, 5)
    assert mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2, [True] * 2 + [False] * 3]
    for sound, length in enumerate(lengths.tolist()):
        for frame in range(-(-length // 5)):
            expected = maps[sound, :, 5 * frame : min(5 * frame + 5, length)].mean(1)
            torch.testing.assert_close(frames[sound, frame], expected)
    assert (frames[~mask] == 0).all()
    torch.testing.assert_close(shorter[0], frames[1, :3])  # padding behind a sound changes nothing


def test_mu_law() -> None:
    every = torch.arange(256)
    assert torch.equal(wavenet.mu_law(wavenet.mu_law_inverse(every)), every)
    samples = np.linspace(-1, 1, 1001)
    found = wavenet.mu_law(samples)
    expected = np.sign(samples) * np.log(1 + 255 * np.abs(samples)) / np.log(256)  # equation 4
    assert np.abs(found.numpy() - (expected + 1) / 2 * 255).max() <= 0.5 + 1e-4
    assert (found.min(), found.max()) == (0, 255)
    error = (wavenet.mu_law_inverse(found) - torch.from_numpy(samples)).abs()
    assert error[np.abs(samples) < 0.01].max() < 3e-4
    assert error.max() < 0.025
    assert wavenet.mu_law(np.array([-3.0, 3.0])).tolist() == [0, 255]


@pytest.mark.parametrize("bias", [False, True])
def test_published_layout(bias: bool) -> None:
    network = tiny(bias=bias)
    theirs = {"start.": "start_conv.", "end.1.": "end_conv_1.", "end.3.": "end_conv_2."}
    theirs |= {
        f"layers.{i}.{kind}.": f"{kind}_convs.{i}." for i in range(6) for kind in ("filter", "gate", "residual", "skip")
    }
    state = {}
    for name, value in network.state_dict().items():
        stem, _, kind = name.rpartition(".")
        state[theirs[f"{stem}."] + kind] = value
    found = wavenet.published(state)
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in network.state_dict().items())
    assert wavenet.published(found) == found
    del state["gate_convs.2.weight"]
    with pytest.raises(ModelError, match=r"Missing: gate_convs\.2\.weight\."):
        wavenet.published(state)
