"""WaveNet: dilated causal convolutions over single samples of sound.

Paper: van den Oord et al. 2016, "WaveNet: a generative model for raw audio", arXiv 1609.03499.
Reference code: vincentherrmann/pytorch-wavenet (wavenet_model.py), whose key layout is supported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.models.families._layout import numbered, renamed

RATE = 16000  # samples per second, as in the paper


class WaveNet(nn.Module):
    """Mu-law codes (batch, time) -> the sum of the skip connections, (batch, skip_channels, time).

    Before the first sample there is silence in every layer's own sense: zeros. The output at a sample depends on
    it and on the ``receptive_field - 1`` samples before it.

    Args:
        num_layers: layers of a block; their dilations are 1, 2, 4, ...
        num_blocks: number of blocks.
        residual_channels, dilation_channels, skip_channels, end_channels: widths.
        classes: number of mu-law codes.
        kernel: samples that a dilated convolution sees.
        bias: whether the convolutions before the end have biases.
        one_hot: codes enter as one-hot vectors; otherwise as one number in [-1, 1), as in early checkpoints.
    """

    def __init__(
        self,
        *,
        num_layers: int = 10,
        num_blocks: int = 4,
        residual_channels: int = 32,
        dilation_channels: int = 32,
        skip_channels: int = 256,
        end_channels: int = 256,
        classes: int = 256,
        kernel: int = 2,
        bias: bool = False,
        one_hot: bool = True,
    ) -> None:
        super().__init__()
        if min(num_layers, num_blocks) < 1 or kernel < 2:
            raise ConfigError("A WaveNet needs num_layers and num_blocks of 1 or more and a kernel of 2 or more.")
        self.start = nn.Conv1d(classes if one_hot else 1, residual_channels, 1, bias=bias)
        self.layers = nn.ModuleList(
            Layer(residual_channels, dilation_channels, skip_channels, kernel, 2**number, bias)
            for _ in range(num_blocks)
            for number in range(num_layers)
        )
        self.end = nn.Sequential(
            nn.ReLU(), nn.Conv1d(skip_channels, end_channels, 1), nn.ReLU(), nn.Conv1d(end_channels, classes, 1)
        )
        self.classes = classes
        self.one_hot = one_hot
        self.dim = skip_channels
        self.receptive_field = 1 + num_blocks * (kernel - 1) * (2**num_layers - 1)

    def forward(self, codes: Tensor) -> Tensor:
        """(batch, time) int64 -> (batch, skip_channels, time), before the ReLU that the classifier starts with."""
        total = torch.zeros((), device=codes.device)
        for layer, gated in self._gated(codes):
            total = total + layer.skip(gated)
        return total

    def frames(self, codes: Tensor, frame: int, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Means of the maps over ``frame`` samples at a time, and which frames there are.

        The skip connections are linear, so they are applied to the means: the same numbers with a small part of
        the memory that the maps take. The network is causal, so padding behind a sound changes nothing.

        Args:
            codes: (batch, time).
            frame: samples of a frame; the last frame of a sound averages those that are left.
            lengths: (batch,) samples of each sound; None: all are whole.

        Returns:
            (batch, ceil(time / frame), skip_channels) with zeros behind a sound's end, and the mask (batch, frames).
        """
        time = codes.shape[1]
        there = torch.ones(codes.shape, device=codes.device)
        if lengths is not None:
            there = (torch.arange(time, device=codes.device) < lengths.to(codes.device)[:, None]).float()
        num = math.ceil(time / frame)
        there = F.pad(there, (0, num * frame - time))
        count = there.unflatten(1, (num, frame)).sum(2)  # (batch, num)
        mask = count > 0
        total = torch.zeros((), device=codes.device)
        for layer, gated in self._gated(codes):
            kept = F.pad(gated, (0, num * frame - time)) * there[:, None].to(gated)
            means = kept.unflatten(2, (num, frame)).sum(3) / count.clamp(min=1)[:, None].to(gated)
            total = total + layer.skip(means)
        return (total * mask[:, None]).transpose(1, 2), mask

    def logits(self, maps: Tensor) -> Tensor:
        """(batch, skip_channels, time) -> scores of the next sample's code, (batch, classes, time)."""
        return self.end(maps)

    def _gated(self, codes: Tensor) -> Iterator[tuple[Layer, Tensor]]:
        if self.one_hot:  # a convolution of width 1 over one-hot vectors is a look-up
            hidden = F.embedding(codes, self.start.weight[:, :, 0].T).transpose(1, 2)
            hidden = hidden if self.start.bias is None else hidden + self.start.bias[:, None]
        else:
            hidden = self.start((2 * codes.to(self.start.weight) / self.classes - 1)[:, None])
        for layer in self.layers:
            assert isinstance(layer, Layer)  # for the type checker
            gated = layer.gated(hidden)
            yield layer, gated
            hidden = hidden + layer.residual(gated)


class Layer(nn.Module):
    """tanh(filter * x) . sigmoid(gate * x), which goes to the residual and to the skip connection."""

    def __init__(self, residual: int, dilated: int, skip: int, kernel: int, dilation: int, bias: bool) -> None:
        super().__init__()
        self.filter = nn.Conv1d(residual, dilated, kernel, dilation=dilation, bias=bias)
        self.gate = nn.Conv1d(residual, dilated, kernel, dilation=dilation, bias=bias)
        self.residual = nn.Conv1d(dilated, residual, 1, bias=bias)
        self.skip = nn.Conv1d(dilated, skip, 1, bias=bias)
        self.past = (kernel - 1) * dilation

    def gated(self, hidden: Tensor) -> Tensor:
        """(batch, residual, time) -> (batch, dilated, time)."""
        hidden = F.pad(hidden, (self.past, 0))
        return self.filter(hidden).tanh() * self.gate(hidden).sigmoid()


def mu_law(samples: np.ndarray | Tensor, classes: int = 256) -> Tensor:
    """Samples in [-1, 1] -> codes int64 from 0 to classes - 1, finer near silence (equation 4 of section 2.2).

    Louder samples are clipped. The reference code rounds down and takes mu = classes, so codes can differ by one.
    """
    values = torch.as_tensor(samples, dtype=torch.float32).clamp(-1, 1)
    mu = classes - 1
    squeezed = values.sign() * torch.log1p(mu * values.abs()) / math.log1p(mu)
    return ((squeezed + 1) / 2 * mu + 0.5).long()


def mu_law_inverse(codes: Tensor, classes: int = 256) -> Tensor:
    """Codes -> the sample in [-1, 1] that each stands for, float32."""
    mu = classes - 1
    squeezed = 2 * codes.float() / mu - 1
    return squeezed.sign() * torch.expm1(squeezed.abs() * math.log1p(mu)) / mu


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights from the layout of pytorch-wavenet.

    Names there: ``start_conv``, ``filter_convs.N``, ``gate_convs.N``, ``residual_convs.N``, ``skip_convs.N``,
    ``end_conv_1``, ``end_conv_2``, each ``.weight`` and, where there are biases, ``.bias``. Its layers pad nothing,
    so the outputs agree from the receptive field on.

    Raises:
        ModelError: tensors are missing or unknown.
    """
    if "start.weight" in state:
        return dict(state)
    modules = {"start_conv": "start", "end_conv_1": "end.1", "end_conv_2": "end.3"}
    for layer in range(max(1, numbered(state, r"(?:filter|gate|residual|skip)_convs\.(\d+)\."))):
        for kind in ("filter", "gate", "residual", "skip"):
            modules[f"{kind}_convs.{layer}"] = f"layers.{layer}.{kind}"
    names = {f"{theirs}.weight": f"{ours}.weight" for theirs, ours in modules.items()}
    biased = [name for name in modules if name.startswith("end") or "start_conv.bias" in state]
    names |= {f"{name}.bias": f"{modules[name]}.bias" for name in biased}
    return renamed(state, names, "WaveNet")
