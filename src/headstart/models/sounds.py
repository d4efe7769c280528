"""A sound backbone around any torch network that maps windows of a recording to vectors, one or many a window."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.data.dataset import Sound
from headstart.data.modalities.audio import resample
from headstart.errors import ModelError
from headstart.models.backbone import Backbone, Features, FeatureSpec, Inputs, stages_of
from headstart.models.card import ModelCard
from headstart.models.frontends import log_mel, padded, patches
from headstart.models.precision import fast_precision, uses_bfloat16

SECONDS = 15.0  # longest window of a network that takes waveforms; attention grows with its square
LEAST = 0.1  # seconds; shorter sounds are padded with silence, for the convolutions need a few frames
BATCH_SECONDS = 64.0  # of one batch when only features are wanted, padding included

FrontEnd = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""float32 samples (n,) at the checkpoint's rate -> windows (w, time, ...) and how much of each is real (w,)."""
Runner = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
"""network, windows (w, time, ...), real (w,) -> vectors (w, frames, dim) and which frames are real (w, frames)."""


@dataclass(frozen=True, eq=False)
class Windows:
    """A recording as a network takes it: windows (w, time, ...) and the length of each that is no padding (w,)."""

    values: np.ndarray
    real: np.ndarray


class SoundBackbone(Backbone):
    """A network, its card (sample_rate in Hz), a front end and ``run``; the vector is the mean over all real frames.

    A recording of any length is cut into windows. Nothing of it is left out, so ``cut`` is always 0.
    """

    place: Tensor
    window = 64
    rate = 1e-4

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        front_end: FrontEnd,
        run: Runner,
        reference: str,
        *,
        dim: int,
        quicken: Callable[[nn.Module, torch.dtype], tuple[nn.Module, torch.dtype]] | None = None,
    ) -> None:
        super().__init__()
        if not card.sample_rate:
            raise ModelError(
                f"{reference} does not state the sample rate of its sounds; at another one every pitch is wrong. "
                'Write it into its card.json, for example {"sample_rate": 16000}.'
            )
        self.network = network
        self.card = card
        self.front_end = front_end
        self.run = run
        self.reference = reference
        self.quicken = quicken
        self.precision = self.input_precision = torch.float32
        self.stages = stages_of(network)
        self.spec = FeatureSpec(dim)
        self.provides = frozenset({"vector", "gradients"})
        # where the computation stands; the network made for bfloat16 has no parameter that could tell
        self.register_buffer("place", torch.zeros(1), persistent=False)
        second = self.shape(Sound(np.zeros(card.sample_rate, np.float32), card.sample_rate))
        self.batch_cost = round(BATCH_SECONDS * max(1, self.cost(second)))

    def shape(self, value: Sound, *, whole: bool = False) -> Windows:
        # at a lower rate, a sample or two may become none at all
        return Windows(*self.front_end(padded(resample(value, self.card.sample_rate or 0).samples, 1)))

    def cost(self, shaped: Windows) -> int:
        return int(shaped.values.shape[0] * shaped.values.shape[1])

    def batch(self, shaped: Sequence[Windows]) -> dict[str, Tensor]:
        """values (w, longest time, ...), real (w,), owner (w,): whose window it is, and count: one 0 a sound."""
        longest = max(entry.values.shape[1] for entry in shaped)
        stretched = [
            np.pad(entry.values, [(0, 0), (0, longest - entry.values.shape[1])] + [(0, 0)] * (entry.values.ndim - 2))
            for entry in shaped
        ]
        owner = np.repeat(np.arange(len(shaped)), [len(entry.values) for entry in shaped])
        arrays = {
            "values": np.concatenate(stretched),
            "real": np.concatenate([entry.real for entry in shaped]).astype(np.int64),
            "owner": owner,
            "count": np.zeros(len(shaped), np.float32),
        }
        return {name: torch.from_numpy(array).to(self.place.device) for name, array in arrays.items()}

    def forward(self, batch: Inputs) -> Features:
        assert isinstance(batch, dict)
        values = batch["values"]
        if values.is_floating_point():
            values = values.to(self.input_precision)
        tokens, mask = self.run(self.network, values, batch["real"])
        weights = mask.float().unsqueeze(2)
        sums = torch.zeros(len(batch["count"]), tokens.shape[2], device=tokens.device)
        counts = torch.zeros(len(batch["count"]), 1, device=tokens.device)
        sums = sums.index_add(0, batch["owner"], (tokens.float() * weights).sum(1))
        counts = counts.index_add(0, batch["owner"], weights.sum(1))
        return Features(vector=sums / counts.clamp(min=1))

    def fast(self) -> SoundBackbone:
        """bfloat16 where the processor computes in it, and fused convolutions; else the backbone itself."""
        device = next(self.network.parameters()).device
        native = uses_bfloat16(device)
        precision = fast_precision(device) if self.quicken else torch.bfloat16 if native else None
        if precision is None:
            return self
        twin = copy.copy(self)
        twin._modules = dict(self._modules)
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        quick = self.quicken(network, precision) if self.quicken else (network.to(precision), precision)
        twin.network, twin.input_precision = quick
        twin.precision = precision
        return twin


@dataclass(frozen=True)
class LogMelPatches:
    """Log-mel patches, as VGGish and YAMNet take them; read from the words of a card.

    Attributes:
        rate: Hz. window, hop: seconds. fft: points. low, high: Hz. offset: added before the logarithm.
        length, step: frames of a patch, and from one patch to the next.
        standardised: each patch has mean 0 and variance 1.
    """

    rate: int
    window: float
    hop: float
    fft: int
    bands: int
    low: float
    high: float
    offset: float
    length: int
    step: int
    standardised: bool = False

    @classmethod
    def parse(cls, text: str, rate: int, reference: str) -> LogMelPatches:
        """From words such as "25 ms periodic Hann window, 10 ms hop, 512-point FFT magnitude, 64 mel bands
        125-7500 Hz (HTK mel), log(mel + 0.001); patches of 96 frames with hop 48".

        Raises:
            ModelError: a part is not stated; another window, scale or power would silently ruin the features.
        """
        number = r"(\d+(?:\.\d+)?)"
        wanted = {
            "window": rf"{number} ms periodic Hann window",
            "hop": rf"{number} ms hop",
            "fft": r"(\d+)-point FFT magnitude",
            "bands": r"(\d+) mel bands",
            "low": rf"mel bands {number}-",
            "high": rf"mel bands {number[1:-1]}-{number} Hz",
            "offset": rf"log\(mel \+ {number}\)",
            "length": r"patches of (\d+) frames",
            "step": r"frames with hop (\d+)",
        }
        found = {name: re.search(pattern, text) for name, pattern in wanted.items()}
        missing = [name for name, match in found.items() if match is None]
        if missing:
            raise ModelError(
                f"The front end in the card of {reference} does not state {', '.join(missing)} in the known words: "
                f"{text!r}. Expected words such as '25 ms periodic Hann window, 10 ms hop, 512-point FFT magnitude, 64 mel "
                "bands 125-7500 Hz, log(mel + 0.001); patches of 96 frames with hop 48'."
            )
        told = {name: float(match[1]) for name, match in found.items() if match}
        return cls(
            rate=rate, window=told["window"] / 1000, hop=told["hop"] / 1000, fft=int(told["fft"]), bands=int(told["bands"]),
            low=told["low"], high=told["high"], offset=told["offset"], length=int(told["length"]), step=int(told["step"]),
            standardised="standardised" in text,
        )  # fmt: skip

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) -> (patches, 1, length, bands), padded with silence to a whole number of steps, at least one patch."""
        window, hop = round(self.window * self.rate), round(self.hop * self.rate)
        least = window + (self.length - 1) * hop
        steps = -(-max(0, len(samples) - least) // (self.step * hop))
        frames = log_mel(
            padded(samples, least + steps * self.step * hop), self.rate, window=window, hop=hop, fft=self.fft,
            bands=self.bands, low=self.low, high=self.high, offset=self.offset, power=1.0,
        )  # fmt: skip
        cut = patches(frames, self.length, self.step)
        if self.standardised:
            mean, std = cut.mean((1, 2), keepdims=True), cut.std((1, 2), keepdims=True)
            cut = (cut - mean) / np.maximum(std, 1e-3)
        values = np.ascontiguousarray(cut[:, None], np.float32)
        return values, np.ones(len(values), np.int64)


@dataclass(frozen=True)
class WaveformFrontEnd:
    """The samples themselves, in windows of about equal length; ``standardised``: mean 0 and variance 1 a sound."""

    standardised: bool
    rate: int = 16_000

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.standardised:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        samples = padded(samples.astype(np.float32), round(LEAST * self.rate))
        parts = np.array_split(samples, -(-len(samples) // round(SECONDS * self.rate)))
        longest = max(map(len, parts))
        real = np.array([len(part) for part in parts])
        return np.stack([padded(part, longest) for part in parts]), real


@dataclass(frozen=True)
class WhisperFrontEnd:
    """Whisper's log-mel frames (Radford et al. 2022, arXiv 2212.04356), by the library that carries the model."""

    bands: int
    length: int

    def __call__(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) at 16 kHz -> (w, length frames of 10 ms, bands); the network takes nothing but whole windows."""
        from transformers import WhisperFeatureExtractor

        extractor = WhisperFeatureExtractor(feature_size=self.bands, chunk_length=self.length // 100)
        size = self.length * extractor.hop_length
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        made = extractor(parts, sampling_rate=16_000, return_tensors="np", padding="max_length").input_features
        real = np.array([min(self.length, -(-len(part) // extractor.hop_length)) for part in parts])
        return np.ascontiguousarray(made.transpose(0, 2, 1), np.float32), real


def patch_backbone(
    network: nn.Module, card: ModelCard, pool: Callable[[nn.Module, Tensor], Any], reference: str
) -> SoundBackbone:
    """A picture network over log-mel patches; the card's words say how they are made (``LogMelPatches.parse``).

    A network with three channels gets the same patch in each.
    """
    from headstart.models.fastpath import fused_network

    front = LogMelPatches.parse(card.front_end, card.sample_rate or 0, reference)
    channels = next(m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d))

    def run(network: nn.Module, windows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        vector = pool(network, windows.expand(-1, channels, -1, -1))[0].unsqueeze(1)
        return vector, torch.ones(vector.shape[:2], dtype=torch.bool, device=vector.device)

    was_training = network.training
    with torch.inference_mode():
        dim = pool(network.eval(), torch.zeros(1, channels, front.length, front.bands))[0].shape[1]
    network.train(was_training)
    size = (channels, front.length, front.bands)

    def quicken(network: nn.Module, precision: torch.dtype) -> tuple[nn.Module, torch.dtype]:
        return fused_network(network, size, precision)

    return SoundBackbone(network, card, front, run, reference, dim=dim, quicken=quicken)
