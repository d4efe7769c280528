"""The backbone contract: every pretrained model becomes raw values in, pooled feature vectors out."""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from headstart.data.dataset import Value
from headstart.models.card import ModelCard

Inputs = Tensor | dict[str, Tensor]
"""One batch, ready for the network."""


@dataclass(frozen=True)
class Features:
    """What a backbone outputs for a batch of n samples.

    Attributes:
        vector: (n, dim), always there.
        maps: (n, channels, height, width), where the backbone provides "maps".
        tokens, mask: (n, length, dim) and (n, length), where it provides "tokens".
    """

    vector: Tensor
    maps: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class FeatureSpec:
    dim: int


@dataclass(frozen=True)
class Stage:
    """A run of neighbouring modules, early to late, that is frozen or tuned together.

    ``loose`` holds parameters that stand beside the modules: the class token and the positions of a ViT.
    """

    name: str
    modules: tuple[nn.Module, ...]
    loose: tuple[nn.Parameter, ...] = ()

    def parameters(self) -> list[nn.Parameter]:
        return [*self.loose, *(parameter for module in self.modules for parameter in module.parameters())]


class Backbone(nn.Module, ABC):
    """A pretrained model without its head.

    Preprocessing belongs to the backbone because it is a property of the checkpoint: ``shape`` brings one
    decoded value to what the checkpoint takes (a picture of its size, the numbers of tokens, patches of a sound),
    ``batch`` stacks shaped values and normalises them, ``forward`` computes features. ``prepare`` is the two
    together. What is shaped is a matter between the methods of one backbone.

    Attributes:
        assets: files that the checkpoint needs beside its weights (a tokeniser, a graph), by relative name.
        layout: brings the names of a published checkpoint's weights to those of the network; None: they are the same.
        window: how many shaped samples are held at once, to put those of like cost into one batch.
        batch_cost: the padded cost of a batch, that is its length times the largest ``cost`` in it.
        rate: the learning rate at which such a checkpoint is usually fine-tuned.
        source_head: weight (classes, dim) and bias (classes,) of the linear classifier that came with the checkpoint,
            for the classes it was trained on; with it the backbone provides "source_probs".
    """

    card: ModelCard
    spec: FeatureSpec
    provides: frozenset[str]
    stages: list[Stage]
    reference: str
    precision: torch.dtype
    network: nn.Module
    assets: Mapping[str, bytes] = MappingProxyType({})
    layout: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    window: int = 32
    batch_cost: int = 32
    rate: float = 3e-4
    source_head: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def shape(self, value: Any, *, whole: bool = False) -> Any:
        """One decoded value as the checkpoint takes it; called from several threads at once.

        ``whole`` keeps all of the value (it was cropped by augmentation) where the default takes the
        centre crop that the checkpoint was evaluated with.
        """

    @abstractmethod
    def batch(self, shaped: Sequence[Any]) -> Inputs:
        """Shaped values as one normalised input batch."""

    @abstractmethod
    def forward(self, batch: Inputs) -> Features: ...

    def shapes(self, values: Sequence[Any], *, whole: bool = False) -> list[Any]:
        """``shape`` of each value; a backbone that is faster on many at once has its own."""
        return [self.shape(value, whole=whole) for value in values]

    def cost(self, shaped: Any) -> int:
        """What a shaped value costs to compute, in units of ``batch_cost``: a text's tokens; 1 where all are alike."""
        return 1

    def cut(self, value: Any) -> int:
        """How much at the end of a value the checkpoint cannot take, in its own units (tokens); 0: all is read."""
        return 0

    def decode_side(self) -> int | None:
        """The shorter side in pixels below which a decoded picture would lose detail; None: no such thing."""
        return None

    def prepare(self, raw: Sequence[Value]) -> Inputs:
        """Decoded values as one input batch, prepared as the checkpoint's card says."""
        return self.batch(self.shapes(raw))

    def fast(self) -> Backbone:
        """A copy for inference alone that computes the same function faster; itself where there is none."""
        return self


def grouped(costs: Sequence[int], limit: int) -> list[list[int]]:
    """Places in batches of like cost, the dearest first; length times largest cost is within ``limit``.

    Padding is then next to nothing, and memory is at its largest in the first batch, not in the last.
    """
    batches: list[list[int]] = []
    largest = 0
    for place in sorted(range(len(costs)), key=lambda i: -costs[i]):
        if not batches or (len(batches[-1]) + 1) * largest > limit:
            batches.append([])
            largest = max(1, costs[place])
        batches[-1].append(place)
    return batches


def fingerprint(backbone: Backbone) -> str:
    """A digest of weights and preprocessing: equal digests give equal features."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((type(backbone).__name__, preprocessing(backbone.card))).encode())
    for name, content in sorted(backbone.assets.items()):
        digest.update(name.encode() + hashlib.blake2b(content).digest())
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        flat = value.detach().cpu().reshape(-1).clone()
        digest.update((flat.view(torch.int16) if flat.dtype is torch.bfloat16 else flat).numpy().tobytes())
    return digest.hexdigest()


def preprocessing(card: ModelCard) -> dict[str, Any]:
    """The entries of a card that decide what the network sees."""
    names = ("architecture", "arguments", "input_size", "mean", "std", "value_range", "channel_order",
             "interpolation", "crop_fraction", "crop_mode")  # fmt: skip
    later = ("maximum_length", "pooling", "normalise", "sample_rate", "front_end")  # where stated
    stated = {name: getattr(card, name) for name in later if getattr(card, name)}
    return {name: getattr(card, name) for name in names} | stated


def stages_of(module: nn.Module, most: int = 8) -> list[Stage]:
    """At most ``most`` stages from the module tree, early to late.

    Containers are opened down to their blocks, then neighbouring blocks are grouped evenly; a norm belongs to
    the stage before it, and parameters outside of all blocks to the first stage. Works on every architecture
    whose modules are registered in the order they run.
    """
    parts = _opened("", module, sum(1 for _ in module.modules()) // 2) or [("all", module)]
    joined: list[list[tuple[str, nn.Module]]] = []
    for name, part in parts:
        if joined and isinstance(part, (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)):
            joined[-1].append((name, part))
        else:
            joined.append([(name, part)])
    bounds = [round(i * len(joined) / min(most, len(joined))) for i in range(min(most, len(joined)) + 1)]
    stages = []
    for low, high in itertools.pairwise(bounds):
        members = [entry for group in joined[low:high] for entry in group]
        name = members[0][0] if len(members) == 1 else f"{members[0][0]}-{members[-1][0]}"
        stages.append(Stage(name, tuple(part for _, part in members)))
    inside = {id(parameter) for stage in stages for parameter in stage.parameters()}
    loose = tuple(parameter for parameter in module.parameters() if id(parameter) not in inside)
    return [replace(stages[0], loose=loose), *stages[1:]]


def _opened(prefix: str, module: nn.Module, half: int) -> list[tuple[str, nn.Module]]:
    """The children with parameters; containers among them are replaced by their own children.

    A container is a Sequential, a ModuleList, or a part that holds one of these and more than ``half`` of the
    modules of the whole network (the encoder of torchvision's ViT).
    """
    found = []
    for name, child in module.named_children():
        path = f"{prefix}.{name}" if prefix else name
        if next(child.parameters(), None) is None:
            continue
        plain = isinstance(child, (nn.Sequential, nn.ModuleList)) or (name == "features" and prefix == "")
        holds = any(isinstance(inner, (nn.Sequential, nn.ModuleList)) for inner in child.children())
        container = plain or (holds and sum(1 for _ in child.modules()) > half)
        found += _opened(path, child, half) if container else [(path, child)]
    return found
