"""VGGish: a VGG with 6 convolutions on log-mel patches, trained on YouTube's sounds; 128 features a patch.

Paper: Hershey et al. 2017, "CNN architectures for large-scale audio classification", arXiv 1609.09430.
Reference code: tensorflow/models/research/audioset/vggish; weights in torch's layout: harritaylor/torchvggish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models import frontends
from headstart.models.families._layout import renamed

RATE = 16000  # samples per second
OFFSET = 0.01
PATCH, BANDS = 96, 64  # frames of 10 ms, mel bands
WINDOW, HOP = 400, 160  # samples
SHORTEST = WINDOW + HOP * (PATCH - 1)  # 15,600 samples make one patch
LIMIT = 2.0  # whitened features are cut to [-2, 2]


class VGGish(nn.Module):
    """Patches (n, 1, 96, 64) -> features (n, dim).

    Args:
        widths: channels of the four groups of convolutions; the last two groups have two convolutions each.
        hidden: width of the two fully connected layers before the features.
        dim: width of the features.
        output_relu: end with a ReLU, as torchvggish does; the reference gives the values before it.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        hidden: int = 4096,
        dim: int = 128,
        output_relu: bool = False,
    ) -> None:
        super().__init__()
        first, second, third, fourth = widths
        layers: list[nn.Module] = []
        previous = 1
        for group in ([first], [second], [third, third], [fourth, fourth]):
            for width in group:
                layers += [nn.Conv2d(previous, width, 3, padding=1), nn.ReLU()]
                previous = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        inputs = fourth * (PATCH // 16) * (BANDS // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )
        self.dim = dim
        self.output_relu = output_relu

    def maps(self, patches: Tensor) -> Tensor:
        """(n, 1, 96, 64) -> (n, channels, 6, 4), of 160 ms and 16 bands each."""
        return self.features(patches)

    def forward(self, patches: Tensor) -> Tensor:
        maps = self.maps(patches)
        flat = maps.permute(0, 2, 3, 1).flatten(1)  # channels last, the order in which TensorFlow flattens
        features = self.embeddings(flat)
        return features.relu() if self.output_relu else features


class Whitening(nn.Module):
    """The post-processing of the features that AudioSet was released with.

    PCA with whitening, ``matrix @ (x - means)``; then cut to [-2, 2] and rounded to 8 bits, 0 to 255.
    """

    matrix: Tensor
    means: Tensor

    def __init__(self, *, dim: int = 128) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(dim))  # (outputs, inputs)
        self.register_buffer("means", torch.zeros(dim))

    def whiten(self, features: Tensor) -> Tensor:
        """(n, dim) -> (n, dim), with gradients."""
        return (features - self.means) @ self.matrix.T

    def forward(self, features: Tensor) -> Tensor:
        """(n, dim) -> (n, dim) whole numbers from 0 to 255 as floating point, without useful gradients."""
        return ((self.whiten(features).clamp(-LIMIT, LIMIT) + LIMIT) * (255 / (2 * LIMIT))).round()


def front_end(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound (samples,) -> log-mel patches (patches, 1, 96, 64) float32 without overlap.

    As published, an incomplete last patch is left out; a sound shorter than one patch (0.975 s), which would
    have none, is filled up with silence.

    Raises:
        DataError: the samples are not one channel of finite floating-point numbers.
    """
    samples = frontends.padded(frontends.mono(samples), SHORTEST)
    frames = frontends.log_mel(
        samples, RATE, window=WINDOW, hop=HOP, fft=512, bands=BANDS, low=125, high=7500, offset=OFFSET, power=1
    )
    return np.ascontiguousarray(frontends.patches(frames, PATCH, PATCH)[:, None])


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights from torchvggish's layout, which is ours, or from TensorFlow's.

    torchvggish: ``features.{0,3,6,8,11,13}`` and ``embeddings.{0,2,4}``, ``weight`` and ``bias`` each; the keys
    ``pproc.*`` are left to ``published_whitening``. TensorFlow: ``vggish/conv1/weights`` ... ``biases``, ``conv2``,
    ``conv3/conv3_1``, ``conv3/conv3_2``, ``conv4/conv4_1``, ``conv4/conv4_2``, ``fc1/fc1_1``, ``fc1/fc1_2``, ``fc2``,
    kernels (height, width, in, out) and (in, out).

    Raises:
        ModelError: tensors are missing or unknown.
    """
    ours = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)] + [f"embeddings.{i}" for i in (0, 2, 4)]
    if not any(name.startswith("vggish/") for name in state):
        names = {f"{module}.{kind}": f"{module}.{kind}" for module in ours for kind in ("weight", "bias")}
        return renamed(state, names, "VGGish", ignored=[r"pproc\..*"])
    theirs = ["conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2",
              "fc1/fc1_1", "fc1/fc1_2", "fc2"]  # fmt: skip
    names = {f"vggish/{a}/weights": f"{b}.weight" for a, b in zip(theirs, ours, strict=True)}
    names |= {f"vggish/{a}/biases": f"{b}.bias" for a, b in zip(theirs, ours, strict=True)}
    turns = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    found = renamed(state, names, "VGGish")
    return {name: value.permute(turns[value.ndim]).contiguous() for name, value in found.items()}


def published_whitening(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of ``Whitening`` from torchvggish's ``pproc.*`` or from ``vggish_pca_params.npz``.

    Names: ``pca_eigen_vectors`` (torchvggish also says ``pca_matrix``), (outputs, inputs), and ``pca_means``, (dim,)
    or (dim, 1), with or without ``pproc.``.

    Raises:
        ModelError: one of the two is missing.
    """
    found = {name.removeprefix("pproc."): value for name, value in state.items()}
    matrix = found.get("pca_eigen_vectors", found.get("pca_matrix", found.get("matrix")))
    means = found.get("pca_means", found.get("means"))
    if matrix is None or means is None:
        missing = "pca_eigen_vectors" if matrix is None else "pca_means"
        raise ModelError(f"VGGish's whitening needs pca_eigen_vectors and pca_means; {missing} is missing.")
    return {"matrix": matrix, "means": means.reshape(-1)}
