"""VGGish against the published shapes, parameter count, equations and key layouts."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models import frontends
from headstart.models.families import vggish

TINY = {"widths": [2, 3, 4, 5], "hidden": 7, "dim": 6}


def tiny(**changes: object) -> vggish.VGGish:
    torch.manual_seed(0)
    return vggish.VGGish(**(TINY | changes)).eval()


def test_published_size() -> None:
    with torch.device("meta"):
        network = vggish.VGGish()
        patches = torch.empty(3, 1, 96, 64)
    assert sum(parameter.numel() for parameter in network.parameters()) == 72_141_184  # vggish_slim.py
    assert network.maps(patches).shape == (3, 512, 6, 4)
    assert network(patches).shape == (3, network.dim) == (3, 128)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["features.0.weight"] == (64, 1, 3, 3)
    assert shapes["features.13.weight"] == (512, 512, 3, 3)
    assert shapes["embeddings.0.weight"] == (4096, 12288)
    assert shapes["embeddings.4.weight"] == (128, 4096)


@pytest.mark.parametrize(("samples", "patches"), [(1, 1), (15600, 1), (15600 + 15359, 1), (15600 + 15360, 2)])
def test_patches_do_not_overlap(samples: int, patches: int) -> None:
    assert vggish.front_end(np.full(samples, 0.1, np.float32)).shape == (patches, 1, 96, 64)


def test_front_end_is_the_log_mel_of_the_paper() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 32000).astype(np.float32)
    frames = frontends.log_mel(
        samples, 16000, window=400, hop=160, fft=512, bands=64, low=125, high=7500, offset=0.01, power=1
    )
    np.testing.assert_array_equal(vggish.front_end(samples)[1, 0], frames[96:192])


def tensorflow_state(network: vggish.VGGish) -> dict[str, Tensor]:
    """The network's own weights under TensorFlow's names and in its order of axes."""
    names = ["conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2",
             "fc1/fc1_1", "fc1/fc1_2", "fc2"]  # fmt: skip
    modules = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    state = {}
    for name, module in zip(names, modules, strict=True):
        weight = module.weight.detach()
        state[f"vggish/{name}/weights"] = weight.permute(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        state[f"vggish/{name}/biases"] = module.bias.detach()
    return state


def test_equals_an_explicit_computation_with_channels_last() -> None:
    network = tiny()
    state = {name: value.numpy() for name, value in tensorflow_state(network).items()}
    patch = np.random.default_rng(0).normal(size=(96, 64)).astype(np.float32)
    x = patch[..., None]  # (height, width, channels), TensorFlow's order
    for name in ("conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2"):
        padded, kernel = np.pad(x, ((1, 1), (1, 1), (0, 0))), state[f"vggish/{name}/weights"]
        height, width = x.shape[:2]
        x = sum(padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))
        x = np.maximum(0, x + state[f"vggish/{name}/biases"])
        if not name.endswith(("3_1", "4_1")):
            x = x.reshape(height // 2, 2, width // 2, 2, -1).max((1, 3))
    x = x.reshape(-1)
    for name in ("fc1/fc1_1", "fc1/fc1_2"):
        x = np.maximum(0, x @ state[f"vggish/{name}/weights"] + state[f"vggish/{name}/biases"])
    x = x @ state["vggish/fc2/weights"] + state["vggish/fc2/biases"]
    with torch.no_grad():
        found = network(torch.from_numpy(patch)[None, None])[0].numpy()
    np.testing.assert_allclose(found, x, atol=1e-5)
    assert (x < 0).any()  # the reference has no ReLU behind the features


def test_output_relu() -> None:
    patches = torch.randn(2, 1, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(tiny(output_relu=True)(patches), tiny()(patches).clamp(min=0))


def test_published_layouts() -> None:
    network, other = tiny(), vggish.VGGish(**TINY).eval()
    patches = torch.randn(2, 1, 96, 64)
    pca = {"pproc.pca_eigen_vectors": torch.eye(6), "pproc.pca_means": torch.zeros(6)}
    for state in (network.state_dict() | pca, tensorflow_state(network)):
        nn.init.zeros_(other.embeddings[4].weight)
        other.load_state_dict(vggish.published(state))
        with torch.no_grad():
            torch.testing.assert_close(other(patches), network(patches))
    with pytest.raises(ModelError, match=r"Missing: embeddings\.2\.bias\."):
        vggish.published({name: value for name, value in network.state_dict().items() if name != "embeddings.2.bias"})


@pytest.mark.parametrize("name", ["pproc.pca_eigen_vectors", "pca_eigen_vectors", "pca_matrix"])
def test_whitening_equals_the_equations(name: str) -> None:
    random = np.random.default_rng(0)
    matrix, means, features = random.normal(size=(6, 6)), random.normal(size=(6, 1)), random.normal(size=(20, 6))
    prefix = "pproc." if name.startswith("pproc") else ""
    whitening = vggish.Whitening(dim=6).double()
    state = {name: torch.from_numpy(matrix), f"{prefix}pca_means": torch.from_numpy(means)}
    whitening.load_state_dict(vggish.published_whitening(state))
    expected = (matrix @ (features.T - means)).T  # vggish_postprocess.py
    np.testing.assert_allclose(whitening.whiten(torch.from_numpy(features)).numpy(), expected)
    found = whitening(torch.from_numpy(features)).numpy()
    assert (np.abs(expected) > 2).any()
    np.testing.assert_allclose((found - 127.5) * 4 / 255, np.clip(expected, -2, 2), atol=2 / 255 + 1e-9)
    assert set(np.unique(found)) <= set(range(256))
    assert found.min() == 0
    assert found.max() == 255


def test_whitening_says_what_is_missing() -> None:
    with pytest.raises(ModelError, match="pca_means is missing"):
        vggish.published_whitening({"pca_matrix": torch.eye(2)})
