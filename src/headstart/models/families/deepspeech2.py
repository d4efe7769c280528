"""Deep Speech 2: convolutions over a spectrogram, recurrent layers with batch norm between them; trained with CTC.

Paper: Amodei et al. 2015, "Deep Speech 2: end-to-end speech recognition in English and Mandarin", arXiv 1512.02595.
Reference code: SeanNaren/deepspeech.pytorch, version 3 (deepspeech_pytorch/model.py, loader/data_loader.py); weights
``librispeech_pretrained_v3.ckpt``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.models import frontends
from headstart.models.families._layout import numbered, renamed

RATE = 16000  # samples per second
WINDOW, HOP = 320, 160  # samples: 20 ms and 10 ms
CLIP = 20.0  # where the rectifiers end


class DeepSpeech2(nn.Module):
    """Spectrograms (batch, length, bins) -> hidden states at half the rate, and their mask.

    Args:
        bins: of the spectrogram.
        hidden: width of the recurrent layers; the two directions are added.
        num_layers: recurrent layers.
        classes: characters, the blank included.
        recurrence: "lstm" (version 3 of the reference) or "gru".
    """

    def __init__(
        self,
        *,
        bins: int = 161,
        hidden: int = 1024,
        num_layers: int = 5,
        classes: int = 29,
        recurrence: str = "lstm",
    ) -> None:
        super().__init__()
        if recurrence not in ("lstm", "gru"):
            raise ConfigError(f"recurrence is {recurrence!r}; expected 'lstm' or 'gru'.")
        # (batch, 1, bins, time): the first convolution halves the rate, both halve the bins.
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(1, 32, (41, 11), stride=(2, 2), padding=(20, 5)),
                nn.BatchNorm2d(32),
                nn.Conv2d(32, 32, (21, 11), stride=(2, 1), padding=(10, 5)),
                nn.BatchNorm2d(32),
            ]
        )
        halved = ((bins + 1) // 2 + 1) // 2
        self.layers = nn.ModuleList(
            Recurrent(32 * halved if layer == 0 else hidden, hidden, recurrence, norm=layer > 0)
            for layer in range(num_layers)
        )
        self.norm = nn.BatchNorm1d(hidden)
        self.output = nn.Linear(hidden, classes, bias=False)
        self.dim = hidden

    def forward(self, spectrograms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The last recurrent layer's states.

        Args:
            spectrograms: (batch, length, bins).
            lengths: (batch,) frames of each sound; None: all are whole.

        Returns:
            (batch, (length + 1) // 2, hidden), zeros behind a sound's end, and the mask (batch, (length + 1) // 2).
        """
        batch, length, _ = spectrograms.shape
        device = spectrograms.device
        lengths = torch.full((batch,), length) if lengths is None else lengths
        halves = ((lengths + 1) // 2).clamp(min=1).to(device)
        mask = torch.arange((length + 1) // 2, device=device) < halves[:, None]
        there = mask[:, None, None]
        maps = spectrograms * (torch.arange(length, device=device) < lengths.to(device)[:, None])[..., None]
        maps = maps.transpose(1, 2)[:, None]  # (batch, 1, bins, length)
        for module in self.convolutions:
            maps = module(maps) * there  # what padding turned into must not reach back into the sound
            if isinstance(module, nn.BatchNorm2d):
                maps = maps.clamp(0, CLIP)
        hidden = maps.flatten(1, 2).transpose(1, 2)  # (batch, length / 2, channels * bins)
        for layer in self.layers:
            hidden = layer(hidden, halves)
        return hidden, mask

    def logits(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden) -> scores of the characters (batch, length, classes)."""
        return self.output(per_step(self.norm, hidden))


class Recurrent(nn.Module):
    """Batch norm over all steps of all sounds, then a recurrent layer whose two directions are added."""

    def __init__(self, inputs: int, hidden: int, recurrence: str, *, norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs) if norm else None
        kind = nn.LSTM if recurrence == "lstm" else nn.GRU
        self.recurrent: nn.RNNBase = kind(inputs, hidden, bidirectional=True, batch_first=True)

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """(batch, length, inputs) -> (batch, length, hidden)."""
        total = steps.shape[1]
        steps = steps if self.norm is None else per_step(self.norm, steps)
        packed = nn.utils.rnn.pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
        steps, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=total)
        return steps.unflatten(2, (2, -1)).sum(2)


def per_step(norm: nn.BatchNorm1d, steps: Tensor) -> Tensor:
    """Batch norm of (batch, length, inputs) over batch and length; as in the reference, padding counts in training."""
    return norm(steps.flatten(0, 1)).unflatten(0, steps.shape[:2])


def front_end(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound (samples,) -> log(1 + magnitude) every 10 ms, (1 + samples // 160, 161) float32.

    Periodic Hamming window of 20 ms around each frame's centre, the sound mirrored at its ends (librosa's way at
    the time of the reference), then zero mean and unit standard deviation over the whole sound.

    Raises:
        DataError: the samples are not one channel of finite floating-point numbers.
    """
    samples = np.pad(frontends.mono(samples), WINDOW // 2, mode="reflect")
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    result = np.log1p(frontends.spectrogram(samples, hamming, HOP, WINDOW))
    deviation = float(result.std(ddof=1))
    return (result - result.mean()) / (deviation or 1.0)  # digital silence has no deviation


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights from the layout of deepspeech.pytorch.

    Names there: ``conv.seq_module.{0,1,3,4}.*``, ``rnns.N.rnn.*``, ``rnns.N.batch_norm.module.*`` from the second layer
    on, ``fc.0.module.{0,1}.*``.

    Raises:
        ModelError: tensors are missing or unknown.
    """
    if "convolutions.0.weight" in state:
        return dict(state)
    norm = ("weight", "bias", "running_mean", "running_var")
    names = {
        f"conv.seq_module.{a}.{kind}": f"convolutions.{b}.{kind}" for a, b in ((0, 0), (3, 2)) for kind in norm[:2]
    }
    names |= {f"conv.seq_module.{a}.{kind}": f"convolutions.{b}.{kind}" for a, b in ((1, 1), (4, 3)) for kind in norm}
    for layer in range(max(1, numbered(state, r"rnns\.(\d+)\."))):
        for way in ("", "_reverse"):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                names[f"rnns.{layer}.rnn.{name}_l0{way}"] = f"layers.{layer}.recurrent.{name}_l0{way}"
        if layer:
            names |= {f"rnns.{layer}.batch_norm.module.{kind}": f"layers.{layer}.norm.{kind}" for kind in norm}
    names |= {f"fc.0.module.0.{kind}": f"norm.{kind}" for kind in norm} | {"fc.0.module.1.weight": "output.weight"}
    return renamed(state, names, "Deep Speech 2", ignored=[r".*\.num_batches_tracked"])
