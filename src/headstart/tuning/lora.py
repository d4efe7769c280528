"""LoRA: the weights stay, and beside each of them two thin matrices learn what is added to it.

Hu et al. 2022, LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685; the adapters are those of the
library PEFT (huggingface/peft), for linear layers and convolutions. After training they are added to the weights
(``W + alpha / rank * B A``, section 4.1 of the paper): saving, loading, exporting and predicting need no PEFT, and the
head, which was never part of the adapters, is saved with the model as always.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from headstart.errors import ConfigError, Incompatible, MissingExtra
from headstart.models.backbone import Backbone, Stage
from headstart.progress import say
from headstart.tuning import Tuning, checked_decay, decayed

FASTER = 10.0  # than when all weights move; the two matrices start at a product of 0 and have far to go
# Layers that are exactly a product with their weight. Subclasses may change the weight first (weight standardisation),
# and then the sum of two weights is not the sum of two layers.
PLAIN = ("Linear", "Conv1d", "Conv2d", "Conv2dSame", "Conv1D")
CONVOLUTION = ("stride", "padding", "dilation", "kernel_size", "groups", "in_channels", "out_channels")
# These read the weights of the layers in them and never call the layers.
DIRECT = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class Lora(Tuning):
    """Args:
    rank: of what is added to each weight.
    alpha: what is added counts ``alpha / rank``; 0 means twice the rank.
    decay: of the rate, from each stage to the one before it.
    """

    rank: int = 8
    alpha: float = 0.0
    decay: float = 0.7
    weight_decay: float = 0.0

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        if self.rank < 1 or self.alpha < 0:
            raise ConfigError(
                f"$.approach.tuning: lora takes a rank of at least 1 and an alpha of at least 0, such as lora:8 or "
                f"lora:8:alpha=16; got rank {self.rank}, alpha {self.alpha:g}"
            )
        checked_decay(self.decay)
        names = adaptable(backbone.network)
        if not names:
            raise Incompatible(
                f"{backbone.reference} has no layer that LoRA can adapt: linear layers and ungrouped convolutions of torch "
                "that the network calls. The tunings full, last and norms work with it."
            )
        depth = {
            id(layer): depth
            for depth, stage in enumerate(reversed(backbone.stages))
            for module in stage.modules
            for layer in module.modules()
        }
        _inject(backbone, names, self.rank, self.alpha or 2.0 * self.rank)
        groups = []
        for adapter in adapters(backbone).values():
            rate = FASTER * learning_rate * self.decay ** depth.get(id(adapter.get_base_layer()), 0)
            moving = [value for name, value in adapter.named_parameters() if "lora_" in name]
            groups += decayed(moving, rate, self.weight_decay)
        return _joined(groups)

    def finish(self, backbone: Backbone) -> None:
        """Add the adapters to the weights and take them out; the network is then one of its architecture again."""
        found = adapters(backbone)
        silent = [name for name, adapter in found.items() if not adapter.lora_B["default"].weight.detach().any()]
        if 0 < len(silent) < len(found):
            say(f"note: {len(silent)} of {len(found)} LoRA adapters learned nothing: the network reads the weights of their "
                f"layers without calling them ({', '.join(silent[:3])}{', ...' if len(silent) > 3 else ''})")  # fmt: skip
        for name, adapter in found.items():
            adapter.merge(safe_merge=True)
            parent, _, own = name.rpartition(".")
            setattr(backbone.network.get_submodule(parent), own, adapter.get_base_layer())
        bases = {id(adapter): adapter.get_base_layer() for adapter in found.values()}
        backbone.stages = [_with(stage, bases) for stage in backbone.stages]


def adaptable(network: nn.Module) -> list[str]:
    """Names of the layers whose weight can be split off: plain ones that the network calls.

    Convolutions in groups are left out, since PEFT cannot add what it learned to their weights, and dilated ones, since it
    leaves the dilation out; and so is what stands at two places of the network.
    """
    hidden = {id(inner) for module in network.modules() if isinstance(module, DIRECT) for inner in module.modules()}
    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    shared = Counter(id(value) for _, value in network.named_parameters(remove_duplicate=False))
    found = []
    for name, module in network.named_modules():
        if not _is_plain(module) or id(module) in hidden or parametrize.is_parametrized(module):
            continue
        weight = module.weight
        # a weight that a hook computes before each call is no parameter
        if isinstance(weight, nn.Parameter) and places[id(module)] == shared[id(weight)] == 1:
            found.append(name)
    return found


def _is_plain(module: nn.Module) -> bool:
    name, home = type(module).__name__, type(module).__module__
    if isinstance(module, nn.Linear):
        return name in PLAIN
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        simple = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
        return name in PLAIN and simple
    return name == "Conv1D" and home.startswith("transformers.")  # GPT-2's linear layer, its weight transposed


def adapters(backbone: Backbone) -> dict[str, Any]:
    """The LoRA layers in a backbone, by name below its network."""
    layer = _peft().tuners.lora.LoraLayer
    return {name: module for name, module in backbone.network.named_modules() if isinstance(module, layer)}


def _peft() -> Any:
    """The library.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import peft
    except ImportError as problem:
        raise MissingExtra("peft", "lora", "The tuning lora") from problem
    return peft


def _inject(backbone: Backbone, names: list[str], rank: int, alpha: float) -> None:
    peft, network = _peft(), backbone.network
    before = {name: network.get_submodule(name) for name in names}
    pattern = "|".join(map(re.escape, names))  # a list would also match other names with these endings
    with warnings.catch_warnings():
        # PEFT sees by itself which layers keep their weight transposed, and warns that it did
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=pattern), network)
    made = {id(module): network.get_submodule(name) for name, module in before.items()}
    for module in before.values():  # networks ask their layers for these (Whisper for the stride)
        for fact in set(CONVOLUTION) & set(vars(module)):
            setattr(made[id(module)], fact, getattr(module, fact))
    backbone.stages = [_with(stage, made) for stage in backbone.stages]


def _with(stage: Stage, swapped: dict[int, nn.Module]) -> Stage:
    """The stage with some of its modules replaced; layers inside of modules are replaced already."""
    return replace(stage, modules=tuple(swapped.get(id(module), module) for module in stage.modules))


def _joined(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One group for each rate and decay."""
    joined: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        key = (group["lr"], group["weight_decay"])
        joined.setdefault(key, {**group, "params": []})["params"] += group["params"]
    return list(joined.values())
