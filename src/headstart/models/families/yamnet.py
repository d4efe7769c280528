"""YAMNet: MobileNet v1 on log-mel patches, trained on the 521 classes of AudioSet.

Papers: Howard et al. 2017, arXiv 1704.04861 (MobileNet); Gemmeke et al. 2017, ICASSP (AudioSet).
Reference code: yamnet.py and features.py in tensorflow/models/research/audioset/yamnet; weights ``yamnet.h5``.
timm has the network; what is here is the sound's way into it, and the way of the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from headstart.models import frontends
from headstart.models.families._layout import renamed

RATE = 16000  # samples per second
OFFSET = 0.001
PATCH, PATCH_HOP = 96, 48  # frames of 10 ms
WINDOW, HOP = 400, 160  # samples
SHORTEST = WINDOW + HOP * (PATCH - 1)  # 15,600 samples make one patch


def front_end(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound (samples,) -> log-mel patches (patches, 1, 96, 64) float32, one every 0.48 s.

    Silence is added up to a whole number of patch steps, as published, so that no sample is left out and
    every sound has a patch.

    Raises:
        DataError: the samples are not one channel of finite floating-point numbers.
    """
    samples = frontends.mono(samples)
    steps = max(0, -(-(len(samples) - SHORTEST) // (HOP * PATCH_HOP)))
    samples = frontends.padded(samples, SHORTEST + steps * HOP * PATCH_HOP)
    frames = frontends.log_mel(
        samples, RATE, window=WINDOW, hop=HOP, fft=512, bands=64, low=125, high=7500, offset=OFFSET, power=1
    )
    return np.ascontiguousarray(frontends.patches(frames, PATCH, PATCH_HOP)[:, None])


def network(*, num_classes: int = 521, in_chans: int = 1, pad_type: str = "same", act_layer: str = "relu") -> nn.Module:
    """timm's ``mobilenetv1_100`` with fresh weights: patches (n, 1, 96, 64) -> logits (n, num_classes).

    The arguments are timm's own. 1,024 features a patch come from ``forward_head(forward_features(x),
    pre_logits=True)``. The published network has plain ReLU where timm's default is ReLU6.
    """
    import timm

    return timm.create_model(
        "mobilenetv1_100", num_classes=num_classes, in_chans=in_chans, pad_type=pad_type, act_layer=act_layer
    )


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of ``yamnet.h5`` -> those of ``network()``.

    Keras's names are ``layer1/conv/kernel:0``, ``layer1/conv/bn/{beta,moving_mean,moving_variance}:0``, for the
    layers 2 to 14 ``layerN/depthwise_conv/depthwise_kernel:0``, ``layerN/pointwise_conv/kernel:0`` and their
    norms, last ``logits/kernel:0`` or ``dense/kernel:0`` and its bias; kernels are (height, width, in, out).
    The norms there have no scale and add 1e-4 to the variance where timm adds 1e-5: the difference goes into
    the variance, so that the function is the same.

    Raises:
        ModelError: tensors are missing or unknown.
    """
    if "conv_stem.weight" in state:
        return dict(state)
    last = "dense" if "dense/kernel:0" in state else "logits"
    names = {f"{last}/kernel:0": "classifier.weight", f"{last}/bias:0": "classifier.bias"}
    names |= {"layer1/conv/kernel:0": "conv_stem.weight", **_norm("layer1/conv/bn", "bn1")}
    blocks = [(stage, block) for stage, depth in enumerate((1, 2, 2, 6, 2)) for block in range(depth)]
    for number, (stage, block) in enumerate(blocks, start=2):
        theirs, ours = f"layer{number}", f"blocks.{stage}.{block}"
        names[f"{theirs}/depthwise_conv/depthwise_kernel:0"] = f"{ours}.conv_dw.weight"
        names[f"{theirs}/pointwise_conv/kernel:0"] = f"{ours}.conv_pw.weight"
        names |= _norm(f"{theirs}/depthwise_conv/bn", f"{ours}.bn1")
        names |= _norm(f"{theirs}/pointwise_conv/bn", f"{ours}.bn2")
    result = {name: _turned(name, value) for name, value in renamed(state, names, "YAMNet").items()}
    for name in [name for name in result if name.endswith(".running_var")]:
        result[name] = result[name] + (1e-4 - 1e-5)
        result[name.replace("running_var", "weight")] = torch.ones_like(result[name])
    return result


def _norm(theirs: str, ours: str) -> dict[str, str]:
    pairs = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return {f"{theirs}/{name}:0": f"{ours}.{own}" for name, own in pairs.items()}


def _turned(name: str, value: Tensor) -> Tensor:
    """A kernel in torch's order: (out, in, height, width), where a depthwise one has in = 1."""
    if value.ndim == 4:
        order = (2, 3, 0, 1) if name.endswith("conv_dw.weight") else (3, 2, 0, 1)
        return value.permute(order).contiguous()
    return value.T.contiguous() if name == "classifier.weight" else value
