"""YAMNet's front end, parameter count and the layout of yamnet.h5; features on real sounds where they are at hand."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models import frontends
from headstart.models.families import yamnet


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return yamnet.network().eval()


# Published: 0.975 s make a patch, every further 0.48 s or part of it one more (pad_waveform in features.py).
@pytest.mark.parametrize(("samples", "patches"), [(1, 1), (15600, 1), (15601, 2), (23280, 2), (23281, 3), (80000, 10)])
def test_number_of_patches(samples: int, patches: int) -> None:
    assert yamnet.front_end(np.full(samples, 0.1, np.float32)).shape == (patches, 1, 96, 64)


def test_patches_hold_log_mel_frames_every_48() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 40000).astype(np.float32)
    frames = frontends.log_mel(
        samples, 16000, window=400, hop=160, fft=512, bands=64, low=125, high=7500, offset=0.001, power=1
    )
    found = yamnet.front_end(samples)
    # another number of frames, and so another matrix product, may round its last bit otherwise
    np.testing.assert_allclose(found[1, 0], frames[48:144], atol=1e-5)
    # Silence is log(0.001) in every band; the end of the last patch is the padding.
    np.testing.assert_allclose(found[-1, 0, -1], np.log(0.001), atol=1e-4)
    np.testing.assert_allclose(yamnet.front_end(np.zeros(9, np.float32)), np.log(0.001), atol=1e-5)


def test_published_number_of_parameters(network: nn.Module) -> None:
    # 3,751,369 in yamnet.h5, moving statistics included; timm's norms have a scale for each channel more.
    scales = sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    statistics = 2 * scales
    assert scales == 10944
    assert sum(parameter.numel() for parameter in network.parameters()) - scales + statistics == 3_751_369


def keras_state() -> dict[str, Tensor]:
    """Random weights with the names and shapes of yamnet.h5 (yamnet.py)."""
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) * 0.2

    def norm(name: str, width: int) -> dict[str, Tensor]:
        return {
            f"{name}/bn/beta:0": draw(width),
            f"{name}/bn/moving_mean:0": draw(width),
            f"{name}/bn/moving_variance:0": torch.rand(width, generator=random) * 0.01,  # small: the added term shows
        }

    state = {"layer1/conv/kernel:0": draw(3, 3, 1, 32), **norm("layer1/conv", 32)}
    widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    for number, (width, wider) in enumerate(itertools.pairwise(widths), start=2):
        state[f"layer{number}/depthwise_conv/depthwise_kernel:0"] = draw(3, 3, width, 1)
        state[f"layer{number}/pointwise_conv/kernel:0"] = draw(1, 1, width, wider) / width**0.5
        state |= norm(f"layer{number}/depthwise_conv", width) | norm(f"layer{number}/pointwise_conv", wider)
    return state | {"logits/kernel:0": draw(1024, 521), "logits/bias:0": draw(521)}


def keras_block(state: dict[str, Tensor], name: str, x: np.ndarray) -> np.ndarray:
    """Norm (without scale, epsilon 1e-4) and ReLU as Keras computes them; channels last."""
    beta, mean, var = (state[f"{name}/bn/{kind}:0"].numpy() for kind in ("beta", "moving_mean", "moving_variance"))
    return np.maximum(0, (x - mean) / np.sqrt(var + 1e-4) + beta)


def test_published_layout_gives_the_published_function(network: nn.Module) -> None:
    state = keras_state()
    network.load_state_dict(yamnet.published(state))
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)  # one patch, small, to write the loop out
    kernel = state["layer1/conv/kernel:0"].numpy()
    padded = np.pad(x, ((0, 1), (0, 1)))  # "same" with stride 2 on even sizes pads the end alone
    first = np.array([
        [(padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3, None, None] * kernel).sum((0, 1, 2)) for j in range(3)]
        for i in range(2)
    ])  # fmt: skip
    first = keras_block(state, "layer1/conv", first)  # (2, 3, 32)
    depthwise = state["layer2/depthwise_conv/depthwise_kernel:0"].numpy()[..., 0]
    padded = np.pad(first, ((1, 1), (1, 1), (0, 0)))
    second = np.array([[(padded[i : i + 3, j : j + 3] * depthwise).sum((0, 1)) for j in range(3)] for i in range(2)])
    second = keras_block(state, "layer2/depthwise_conv", second)
    second = keras_block(state, "layer2/pointwise_conv", second @ state["layer2/pointwise_conv/kernel:0"].numpy()[0, 0])
    with torch.no_grad():
        maps = network.bn1(network.conv_stem(torch.from_numpy(x)[None, None]))
        found = network.blocks[0](maps)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, second, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(network.classifier.weight, state["logits/kernel:0"].T)


def test_missing_tensors_are_named() -> None:
    state = keras_state()
    del state["layer7/pointwise_conv/kernel:0"]
    with pytest.raises(ModelError, match="Missing: layer7/pointwise_conv/kernel:0"):
        yamnet.published(state)
    with pytest.raises(ModelError, match="Unknown: extra"):
        yamnet.published(keras_state() | {"extra": torch.zeros(1)})


def test_real_sounds_name_themselves() -> None:
    data, weights = os.environ.get("HEADSTART_DATA"), os.environ.get("HEADSTART_WEIGHTS")
    if not data or not weights:
        pytest.skip("HEADSTART_DATA and HEADSTART_WEIGHTS name no folders with esc10 and YAMNet's weights")
    import soundfile
    from safetensors.torch import load_file

    network = yamnet.network(act_layer="relu6").eval()  # as its card has it: timm's default
    network.load_state_dict(yamnet.published(load_file(Path(weights) / "yamnet_mobilenetv1_100" / "model.safetensors")))
    # Classes of AudioSet by their place in yamnet_class_map.csv.
    for folder, classes in (("dog_bark", range(69, 77)), ("rain", range(283, 286)), ("baby_cry", range(19, 23))):
        path = sorted((Path(data) / "esc10" / folder).glob("*.ogg"))[0]
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == yamnet.RATE
        with torch.no_grad():
            scores = network(torch.from_numpy(yamnet.front_end(samples))).sigmoid().amax(0)
        assert scores[list(classes)].max() > 0.5, folder
