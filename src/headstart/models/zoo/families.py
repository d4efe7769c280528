"""Families that no kept library carries any more; their architectures stand in ``headstart.models.families``.

None of them can be fetched by name: the published checkpoints are pickles or live outside the hub. Convert one once
and name it with its architecture, for example ``local:vggish.safetensors#families/vggish``; or train from fresh weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ModelError, UnknownModel
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard
from headstart.models.sounds import SoundBackbone, patch_backbone
from headstart.models.texts import TextBackbone
from headstart.models.zoo import NOTHING, Zoo

YAMNET = (
    "25 ms periodic Hann window, 10 ms hop, 512-point FFT magnitude, 64 mel bands 125-7500 Hz (HTK mel), "
    "log(mel + 0.001); patches of 96 frames with hop 48"
)
FRAME = 160  # samples of WaveNet's maps in one vector: 10 ms at 16 kHz
PIECE = 16_000  # samples that WaveNet sees at once; more costs memory and adds little beyond its receptive field


class Families(Zoo):
    """``families:NAME``; a card names the architecture ``families/NAME`` and its arguments."""

    def names(self) -> list[str]:
        return sorted(BUILDERS)

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
        if name not in BUILDERS:
            raise UnknownModel(f"There is no family {name!r}; there are: {', '.join(sorted(BUILDERS))}.")
        try:
            made = BUILDERS[name](card, reference, assets)
        except TypeError as problem:
            raise ModelError(f"The arguments of {reference} do not fit families/{name}: {problem}.") from problem
        made.layout = family(name).published
        return made

    def load(self, name: str, *, pretrained: bool = True) -> Backbone:
        if name not in BUILDERS:
            raise UnknownModel(f"There is no family {name!r}; there are: {', '.join(sorted(BUILDERS))}.")
        if pretrained:
            raise ModelError(
                f"families:{name} is an architecture without weights that could be fetched. Convert a published checkpoint "
                "once into a folder with model.safetensors and a card.json that says "
                f'{{"architecture": "families/{name}", "modality": "{card_of(name).modality}", "sample_rate": 16000}}, and name '
                f"the folder: --model FOLDER; headstart models show families:{name} says where the weights are."
            )
        return self.build(name, card_of(name), f"families:{name}")


def card_of(name: str) -> ModelCard:
    """The card of a family at its published size."""
    modality = "text" if name == "transformer_xl" else "audio"
    card = ModelCard(f"families/{name}", modality, pooling="mean")
    if modality == "text":
        return card.replace(maximum_length=1600)
    return card.replace(sample_rate=16_000, front_end=YAMNET if name == "yamnet" else f"families/{name}")


def family(name: str) -> Any:
    return importlib.import_module(f"headstart.models.families.{name}")


def transformer_xl(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    network = family("transformer_xl").TransformerXL(**card.arguments)
    segment = max(1, network.memory_length or 512)

    def run(network: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
        """Segment by segment, each with the memory of those before it."""
        memory, parts = None, []
        for some, real in zip(ids.split(segment, 1), mask.bool().split(segment, 1), strict=True):
            output = network(some, real, memory)
            memory = output.memory
            parts.append(output.hidden)
        return torch.cat(parts, 1)

    return TextBackbone(network, card, run, reference, assets, dim=network.dim)


def wavenet(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    module = family("wavenet")
    network = module.WaveNet(**card.arguments)
    network.end = nn.Identity()

    def front_end(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [samples[i : i + PIECE] for i in range(0, len(samples), PIECE)]
        longest = max(max(map(len, parts)), FRAME)
        values = np.stack([np.pad(part, (0, longest - len(part))) for part in parts])
        codes = np.asarray(module.mu_law(values, card.arguments.get("classes", 256)))
        return codes.astype(np.int64), np.array([max(len(part), FRAME) for part in parts])

    def run(network: nn.Module, windows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        return network.frames(windows, FRAME, real)  # type: ignore[operator]

    dim = card.arguments.get("skip_channels", 256)
    return SoundBackbone(network, card, front_end, run, reference, dim=dim)


def deepspeech(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    module = family("deepspeech")
    network = module.DeepSpeech(**card.arguments)
    network.output = nn.Identity()

    def front_end(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = module.front_end(samples)
        return frames[None], np.array([len(frames)])

    def run(network: nn.Module, windows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.arange(windows.shape[1], device=windows.device) < real.unsqueeze(1)
        return network(windows, mask), mask

    return SoundBackbone(network, card, front_end, run, reference, dim=card.arguments.get("hidden", 2048))


def deepspeech2(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    module = family("deepspeech2")
    network = module.DeepSpeech2(**card.arguments)
    network.output = nn.Identity()

    def front_end(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = module.front_end(samples)
        return frames[None], np.array([len(frames)])

    def run(network: nn.Module, windows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        return network(windows, real)

    return SoundBackbone(network, card, front_end, run, reference, dim=card.arguments.get("hidden", 1024))


def vggish(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    module = family("vggish")
    network = module.VGGish(**card.arguments)

    def front_end(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        patches = module.front_end(samples)
        return patches, np.ones(len(patches), np.int64)

    def run(network: nn.Module, windows: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        vectors = network(windows).unsqueeze(1)
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    return SoundBackbone(network, card, front_end, run, reference, dim=network.dim)


def yamnet(card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    network = family("yamnet").network(**{**card.arguments, "num_classes": 0})

    def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = network.forward_features(x)  # type: ignore[operator]
        return network.forward_head(maps, pre_logits=True), maps  # type: ignore[operator]

    return patch_backbone(network, card, pool, reference)


BUILDERS: dict[str, Callable[[ModelCard, str, Mapping[str, bytes]], Backbone]] = {
    "transformer_xl": transformer_xl, "wavenet": wavenet, "deepspeech": deepspeech, "deepspeech2": deepspeech2,
    "vggish": vggish, "yamnet": yamnet,
}  # fmt: skip
