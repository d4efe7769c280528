"""The optimiser: AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), in one pass over memory where that exists."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headstart.errors import ConfigError

LARGEST_RATE = 10.0  # a step of AdamW moves every weight by about the rate, and weights are seldom larger than 1
FUSED = ("cpu", "cuda")  # what this package is tested on


def adamw(groups: list[dict[str, Any]]) -> torch.optim.AdamW:
    """AdamW over parameter groups; fused where the device can and every parameter fills its memory densely.

    Raises:
        ConfigError: a rate with which nothing can be learned.
    """
    for group in groups:
        if not 0 < group["lr"] <= LARGEST_RATE:
            raise ConfigError(
                f"$.approach.learning_rate: {group['lr']:g} is no rate to learn with; expected more than 0 and at most "
                f"{LARGEST_RATE:g}. Usual are 1e-5 to 1e-2: AdamW moves every weight by about the rate in a step."
            )
    parameters = [parameter for group in groups for parameter in group["params"]]
    if not parameters:
        raise ConfigError(
            "$.approach: no parameter moves, so there is nothing to train; the approach probe trains a head"
        )
    fused = all(p.device.type in FUSED and p.is_floating_point() and _dense(p) for p in parameters)
    return torch.optim.AdamW([dict(group) for group in groups], fused=fused)  # it writes into them


def like(moment: Tensor, parameter: Tensor) -> Tensor:
    """A restored moment in the memory layout of its parameter.

    The fused kernel walks parameter, gradient and moments side by side through memory, whatever their strides:
    a moment of another layout (channels last against first) would be applied to other weights than its own.
    """
    return torch.empty_like(parameter, dtype=moment.dtype).copy_(moment) if moment.shape == parameter.shape else moment


def _dense(parameter: Tensor) -> bool:
    return torch.empty_like(parameter).stride() == parameter.stride()
