"""DeepSpeech: three layers over windows of cepstra, one recurrent layer, one layer more; trained with CTC.

Paper: Hannun et al. 2014, "Deep Speech: scaling up end-to-end speech recognition", arXiv 1412.5567.
Reference code: mozilla/DeepSpeech 0.9 (training/deepspeech_training/train.py), with one LSTM that runs forwards, and
torchaudio.models.DeepSpeech, with the paper's recurrent layer in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import ConfigError
from headstart.models import frontends
from headstart.models.families._layout import renamed

RATE = 16000  # samples per second
WINDOW, HOP = 512, 320  # samples: 32 ms and 20 ms
FLOOR = 1e-12  # under the logarithm of a mel band
LSTM = "cudnn_lstm/rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"


class DeepSpeech(nn.Module):
    """Cepstra (batch, length, num_inputs) -> the last hidden layer, (batch, length, hidden).

    Args:
        num_inputs: cepstra of a frame.
        context: frames on each side that the first layer sees.
        hidden: width of all layers.
        classes: characters, the blank included.
        clip: where the rectifiers end.
        recurrence: "lstm" (Mozilla: forwards only) or "birnn" (the paper: two rectified layers whose outputs are added).
        dropout: after the rectified layers.
    """

    def __init__(
        self,
        *,
        num_inputs: int = 26,
        context: int = 9,
        hidden: int = 2048,
        classes: int = 29,
        clip: float = 20.0,
        recurrence: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if recurrence not in ("lstm", "birnn"):
            raise ConfigError(f"recurrence is {recurrence!r}; expected 'lstm' or 'birnn'.")
        self.first = nn.Linear(num_inputs * (2 * context + 1), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.third = nn.Linear(hidden, hidden)
        self.recurrent: nn.RNNBase = (
            nn.LSTM(hidden, hidden, batch_first=True)
            if recurrence == "lstm"
            else nn.RNN(hidden, hidden, nonlinearity="relu", bidirectional=True, batch_first=True)
        )
        self.fifth = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)
        self.context, self.clip, self.dim = context, clip, hidden

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """The hidden states.

        Args:
            frames: (batch, length, num_inputs).
            mask: (batch, length), True where there is a frame; padding stands at the end. Outputs there mean nothing.
        """
        lengths = torch.full((len(frames),), frames.shape[1])
        if mask is not None:
            frames = frames * mask[..., None]  # beyond a sound's end the windows see zeros, as at its start
            lengths = mask.sum(1).clamp(min=1).cpu()
        hidden = windows(frames, self.context)
        for layer in (self.first, self.second, self.third):
            hidden = self._rectified(layer(hidden))
        packed = nn.utils.rnn.pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(
            self.recurrent(packed)[0], batch_first=True, total_length=frames.shape[1]
        )
        if self.recurrent.bidirectional:
            hidden = hidden[..., : self.dim] + hidden[..., self.dim :]
        return self._rectified(self.fifth(hidden))

    def logits(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden) -> scores of the characters (batch, length, classes)."""
        return self.output(hidden)

    def _rectified(self, values: Tensor) -> Tensor:
        return self.dropout(values.clamp(0, self.clip))


def windows(frames: Tensor, context: int) -> Tensor:
    """Every frame between its neighbours: (batch, length, inputs) -> (batch, length, (2 * context + 1) * inputs).

    From the earliest neighbour to the latest, zeros outside of the sound.
    """
    around = F.pad(frames, (0, 0, context, context)).unfold(1, 2 * context + 1, 1)  # (batch, length, inputs, window)
    return around.transpose(2, 3).flatten(2)


def front_end(samples: np.ndarray) -> np.ndarray:
    """16 kHz sound (samples,) -> 26 mel-frequency cepstra every 20 ms, (frames, 26) float32.

    TensorFlow's ``audio_spectrogram`` and ``mfcc`` as Mozilla calls them: periodic Hann window of 32 ms, the
    magnitudes in 40 mel bands from 20 to 8,000 Hz without the bins below the lower edge, logarithm, cosine
    transform. A sound shorter than one window is filled up with silence.

    Raises:
        DataError: the samples are not one channel of finite floating-point numbers.
    """
    samples = frontends.padded(frontends.mono(samples), WINDOW)
    mel = frontends.mel_matrix(RATE, WINDOW, 40, 20, RATE / 2).copy()
    mel[: int(1.5 + 20 * WINDOW / RATE)] = 0  # bins below 20 Hz and half a bin more: mfcc_mel_filterbank.cc
    bands = frontends.spectrogram(samples, frontends.hann(WINDOW), HOP, WINDOW) @ mel
    # The reference scales every coefficient by sqrt(2 / 40), the first included, which "ortho" would halve.
    cepstra = scipy.fft.dct(np.log(np.maximum(bands, FLOOR)), axis=1)[:, :26] * (np.sqrt(2 / 40) / 2)
    return cepstra.astype(np.float32)


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights from Mozilla's checkpoint or from torchaudio's layout.

    Mozilla (TensorFlow): ``layer_{1,2,3,5,6}/{weights,bias}``, weights (in, out), and
    ``cudnn_lstm/rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell/{kernel,bias}``, kernel (in + hidden, 4 * hidden) with
    the gates input, candidate, forget, output. Its one bias becomes torch's first; torch's second is zero.
    torchaudio: ``fc{1,2,3,4}.fc.{weight,bias}``, ``bi_rnn.*``, ``out.{weight,bias}``; for ``recurrence="birnn"``.

    Raises:
        ModelError: tensors are missing or unknown.
    """
    if "first.weight" in state:
        return dict(state)
    if any(name.startswith("fc1.") for name in state):
        modules = {"fc1.fc": "first", "fc2.fc": "second", "fc3.fc": "third", "fc4.fc": "fifth", "out": "output"}
        names = {f"{a}.{kind}": f"{b}.{kind}" for a, b in modules.items() for kind in ("weight", "bias")}
        for way in ("", "_reverse"):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                names[f"bi_rnn.{name}_l0{way}"] = f"recurrent.{name}_l0{way}"
        return renamed(state, names, "DeepSpeech (torchaudio's layout)")
    numbers = {1: "first", 2: "second", 3: "third", 5: "fifth", 6: "output"}
    names = {f"layer_{i}/weights": f"{name}.weight" for i, name in numbers.items()}
    names |= {f"layer_{i}/bias": f"{name}.bias" for i, name in numbers.items()}
    names |= {f"{LSTM}/kernel": "kernel", f"{LSTM}/bias": "bias"}
    # What the optimiser kept stands in training checkpoints beside the weights.
    found = renamed(
        state, names, "DeepSpeech", ignored=[r".*/Adam(_1)?", r"beta[12]_power", r"global_step", r"learning_rate"]
    )
    kernel, bias = (_gates(found.pop(name)) for name in ("kernel", "bias"))
    result = {name: value.T.contiguous() if value.ndim == 2 else value for name, value in found.items()}
    inputs = len(kernel) - kernel.shape[1] // 4
    return result | {
        "recurrent.weight_ih_l0": kernel[:inputs].T.contiguous(),
        "recurrent.weight_hh_l0": kernel[inputs:].T.contiguous(),
        "recurrent.bias_ih_l0": bias,
        "recurrent.bias_hh_l0": torch.zeros_like(bias),
    }


def _gates(values: Tensor) -> Tensor:
    """TensorFlow's order of gates along the last axis -> torch's: input, forget, candidate, output."""
    entry, candidate, forget, leave = values.chunk(4, -1)
    return torch.cat([entry, forget, candidate, leave], -1)
